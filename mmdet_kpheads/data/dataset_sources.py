"""Finds the COCO and VOC datasets of a config and reads their annotations, without building the datasets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset, CocoDataset, XMLDataset
from mmdet.registry import DATASETS
from mmengine import list_from_file

from ..errors import InputError
from .annotations import AnnotationFile, read_coco, read_voc


@dataclass
class DatasetSource:
    """One COCO or VOC dataset of a config: its files and the classes that the config selects."""

    cfg: Mapping[str, Any]
    is_voc: bool
    classes: tuple[str, ...]

    def path(self, value: str | None) -> Path:
        """Join a path of the config to ``data_root``, as mmengine does."""
        return Path(self.cfg.get('data_root') or '') / (value or '')

    def read(self) -> AnnotationFile:
        """Read the annotations.

        Raises:
            InputError: If a file is missing or broken.
        """
        annotation_path = self.path(self.cfg.get('ann_file'))
        prefix = self.cfg.get('data_prefix') or {}
        if not self.is_voc:
            return read_coco(annotation_path, self.path(prefix.get('img')))
        folder = self.path(prefix.get('sub_data_root'))
        images = folder / self.cfg.get('img_subdir', 'JPEGImages')
        return read_voc(annotation_path, images, folder / self.cfg.get('ann_subdir', 'Annotations'))


def dataset_sources(cfg: Mapping[str, Any]) -> Iterator[DatasetSource]:
    """Find the COCO and VOC datasets in a dataset config, inside wrappers such as ``RepeatDataset`` too.

    Args:
        cfg: A dataset config, for example ``train_dataloader.dataset``.

    Yields:
        One source per dataset. Datasets of other formats and datasets that are not in local files are skipped.

    Raises:
        InputError: If ``metainfo.classes`` is a single string.
    """
    inner = [cfg['dataset']] if 'dataset' in cfg else cfg.get('datasets', [])
    for child in inner:
        yield from dataset_sources(child)
    if inner:
        return
    kind: Any = DATASETS.get(cfg['type']) if isinstance(cfg.get('type'), str) else cfg.get('type')
    is_voc = reads_like(kind, XMLDataset)
    if (is_voc or reads_like(kind, CocoDataset)) and not cfg.get('backend_args'):
        declared = {**kind.METAINFO, **(cfg.get('metainfo') or {})}.get('classes') or ()
        yield DatasetSource(cfg, is_voc, class_tuple(declared))


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
