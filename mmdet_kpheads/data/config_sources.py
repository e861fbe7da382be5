"""From the data set part of a config to the ground truth it names, without building the data set."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.datasets import BaseDetDataset, CocoDataset, XMLDataset
from mmdet.registry import DATASETS

from ..errors import InputError
from .annotations import Truth, read_coco, read_voc


@dataclass
class Source:
    """One COCO or VOC data set of a config: where its files are and which classes it is asked for."""

    cfg: Mapping[str, Any]
    is_voc: bool
    classes: tuple[str, ...]

    def path(self, value: str | None) -> Path:
        """Join a path of the config to ``data_root``, as mmengine does."""
        return Path(self.cfg.get('data_root') or '') / (value or '')

    def read(self) -> Truth:
        """Read the annotations.

        Raises:
            InputError: If a file is missing or broken.
        """
        annotation_file = self.path(self.cfg.get('ann_file'))
        prefix = self.cfg.get('data_prefix') or {}
        if not self.is_voc:
            return read_coco(annotation_file, self.path(prefix.get('img')))
        folder = self.path(prefix.get('sub_data_root'))
        images = folder / self.cfg.get('img_subdir', 'JPEGImages')
        return read_voc(annotation_file, images, folder / self.cfg.get('ann_subdir', 'Annotations'))


def sources(cfg: Mapping[str, Any]) -> Iterator[Source]:
    """Find the COCO and VOC data sets inside a data set config, through wrappers such as ``RepeatDataset``.

    Args:
        cfg: What ``train_dataloader.dataset`` holds, for example.

    Yields:
        One source each; data sets of another kind, and those that are not read from local files, are left out.

    Raises:
        InputError: If ``metainfo.classes`` is one string.
    """
    inner = [cfg['dataset']] if 'dataset' in cfg else cfg.get('datasets', [])
    for child in inner:
        yield from sources(child)
    if inner:
        return
    kind: Any = DATASETS.get(cfg['type']) if isinstance(cfg.get('type'), str) else cfg.get('type')
    is_voc = reads_as(kind, XMLDataset)
    if (is_voc or reads_as(kind, CocoDataset)) and not cfg.get('backend_args'):
        declared = {**kind.METAINFO, **(cfg.get('metainfo') or {})}.get('classes') or ()
        yield Source(cfg, is_voc, class_tuple(declared))


def reads_as(kind: Any, base: type[BaseDetDataset]) -> bool:
    """Tell whether a data set class reads its files as a base does; LVIS and others have formats of their own."""
    methods = ('load_data_list', 'parse_data_info')
    return all(getattr(kind, method, None) is getattr(base, method) for method in methods)


def class_tuple(classes: Any) -> tuple[str, ...]:
    """Give the class names as a tuple; mmengine takes a text file of names too.

    Raises:
        InputError: If they are one string that names no file: 'ship' would be four classes.
    """
    if not isinstance(classes, str):
        return tuple(classes)
    if Path(classes).is_file():
        return tuple(Path(classes).read_text(encoding='utf-8').splitlines())
    raise InputError(
        f'metainfo.classes is the string {classes!r}, but must be a tuple of names: classes = ({classes!r},)'
    )
