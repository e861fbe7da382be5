"""Finds the COCO and VOC datasets of a config and reads their annotations, without building the datasets."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset, CocoDataset, XMLDataset
from mmdet.registry import DATASETS
from mmengine import list_from_file

from ..errors import InputError
from .annotations import AnnotationFile, read_coco, read_voc
from .image_files import Decoding

SPELLED = (('metainfo', 'classes'), ('data_prefix', 'img'), ('data_prefix', 'sub_data_root'))


@dataclass
class DatasetSource:
    """One COCO or VOC dataset of a config: its files and the classes that the config selects."""

    cfg: Mapping[str, Any]
    is_voc: bool
    classes: tuple[str, ...]

    def path(self, value: str | None) -> Path:
        """Join a path of the config to ``data_root``, as mmengine does."""
        return Path(str(self.cfg.get('data_root') or '')) / str(value or '')

    def read(self) -> AnnotationFile:
        """Read the annotations.

        Raises:
            InputError: If a file is missing or broken, or the config does not say where the images are.
        """
        annotation_path = self.path(self.cfg.get('ann_file'))
        prefix = self.cfg.get('data_prefix') or {}
        key = 'sub_data_root' if self.is_voc else 'img'
        if key not in prefix:
            raise InputError(
                f'data_prefix of the dataset of {annotation_path} has no {key!r}: set it, if only to an empty text'
            )
        folder = self.path(prefix[key])
        if not self.is_voc:
            return read_coco(annotation_path, folder)
        images = folder / self.cfg.get('img_subdir', 'JPEGImages')
        return read_voc(annotation_path, images, folder / self.cfg.get('ann_subdir', 'Annotations'))

    def decoding(self) -> Decoding:
        """How the pipeline decodes images."""
        for transform in self.cfg.get('pipeline') or ():
            if str(transform.get('type')).endswith('LoadImageFromFile'):
                default = Decoding()
                return Decoding(
                    transform.get('color_type', default.flag), transform.get('imdecode_backend', default.backend)
                )
        return Decoding()


def dataset_sources(cfg: Mapping[str, Any]) -> Iterator[DatasetSource]:
    """Find the COCO and VOC datasets in a dataset config, inside wrappers such as ``RepeatDataset`` too.

    Args:
        cfg: A dataset config, for example ``train_dataloader.dataset``.

    Yields:
        One source per dataset. Datasets of other formats and datasets that are not in local files are skipped.

    Raises:
        InputError: If ``metainfo.classes`` is a single string, or a key is misspelled.
    """
    if not isinstance(cfg, Mapping):
        raise InputError(f'a dataset must be a dict, but is {cfg!r}')
    inner = [cfg['dataset']] if 'dataset' in cfg else cfg.get('datasets', [])
    for child in inner:
        yield from dataset_sources(child)
    if inner:
        return
    kind: Any = DATASETS.get(cfg['type']) if isinstance(cfg.get('type'), str) else cfg.get('type')
    is_voc = reads_like(kind, XMLDataset)
    if (is_voc or reads_like(kind, CocoDataset)) and not cfg.get('backend_args'):
        for section, key in SPELLED:
            require_spelling(cfg.get(section) or {}, section, key)
        declared = {**kind.METAINFO, **(cfg.get('metainfo') or {})}.get('classes') or ()
        yield DatasetSource(cfg, is_voc, class_tuple(declared))


def require_spelling(section: Mapping[str, Any], name: str, key: str) -> None:
    """Raise ``InputError`` for a key that is almost the one that is read; mmengine would ignore it."""
    for given in section:
        if given != key and difflib.get_close_matches(key, [str(given).lower()], cutoff=0.75):
            raise InputError(f'{name} of a dataset has the key {given!r}, which nothing reads; did you mean {key!r}?')


def reads_like(kind: Any, base: type[BaseDetDataset]) -> bool:
    """Return whether a dataset class reads files like a base class; LVIS and others have their own formats."""
    methods = ('load_data_list', 'parse_data_info')
    return all(getattr(kind, method, None) is getattr(base, method) for method in methods)


def class_tuple(classes: Any) -> tuple[str, ...]:
    """Return the class names as a tuple; like mmengine, this also accepts a text file of names.

    Raises:
        InputError: If they are a single string that is not a file: 'ship' would become four classes.
    """
    if not isinstance(classes, str):
        return tuple(classes)
    if Path(classes).is_file():
        return tuple(list_from_file(classes))
    raise InputError(
        f'metainfo.classes is the string {classes!r}, but must be a tuple of names: classes = ({classes!r},)'
    )
