"""The options of each decoder, with their defaults, and how a head reads them from its ``test_cfg``."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from mmengine.config import ConfigDict

Options = TypeVar('Options')


@dataclass(frozen=True)
class CenterDecoding:
    """The ``test_cfg`` of CenterNetHead, with mmdet's values.

    Args:
        topk: Centers per image.
        local_maximum_kernel: Width of the peak window in cells, odd.
        max_per_img: Boxes per image at most; all if not positive.
        score_thr: Boxes need a score above it; at 0 all pass.
        nms: mmcv's NMS options; None for no NMS.
    """

    topk: int = 100
    local_maximum_kernel: int = 3
    max_per_img: int = 100
    score_thr: float = 0.0
    nms: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class CornerDecoding:
    """The ``test_cfg`` of CornerNetHead, with mmdet's values.

    Args:
        corner_topk: Corners of each kind per image.
        local_maximum_kernel: Width of the peak window in cells, odd.
        distance_threshold: Tags at most this far apart are paired.
        num_dets: Pairs per image before NMS.
        score_thr: Boxes need a score above it; at 0 all pass.
        max_per_img: Boxes per image at most; all if not positive.
        nms: mmcv's NMS options; None for no NMS.
    """

    corner_topk: int = 100
    local_maximum_kernel: int = 3
    distance_threshold: float = 0.5
    num_dets: int = 1000
    score_thr: float = 0.0
    max_per_img: int = 100
    nms: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class GridDecoding:
    """The ``test_cfg`` of AutoAssignHead, with the values of mmdet's config.

    Args:
        nms_pre: Boxes per level at most; all if not positive.
        min_bbox_size: Boxes need a longer width and height than this, in pixels of the result.
        score_thr: A class probability must be above it.
        nms: mmcv's NMS options; None for no NMS.
        max_per_img: Boxes per image at most; all if not positive.
    """

    nms_pre: int = 1000
    min_bbox_size: float = 0
    score_thr: float = 0.05
    nms: Mapping[str, Any] | None = field(default_factory=lambda: {'type': 'nms', 'iou_threshold': 0.6})
    max_per_img: int = 100


def read_options(kind: type[Options], cfg: Mapping[str, Any], owner: str) -> Options:
    """The options that a config sets, with the defaults of their dataclass for the rest.

    Args:
        kind: The dataclass of a decoder.
        cfg: A ``test_cfg``.
        owner: Name of the head, for the error message.

    Raises:
        ValueError: For a key that the decoder does not read.
    """
    known: Any = kind.__dataclass_fields__  # type: ignore[attr-defined] # torch.compile does not trace dataclasses.fields()
    unknown = [key for key in cfg if key not in known]  # torch.compile(fullgraph=True) needs torch >= 2.9 here
    if unknown:
        raise ValueError(f'test_cfg of {owner}: unknown {unknown}; it reads {sorted(known)}')
    return kind(**cfg)


def check_options(options: Any, owner: str) -> None:
    """Check the values of options, once at the build.

    Args:
        options: One of the dataclasses above.
        owner: Name of the head, for the error message.

    Raises:
        ValueError: For a value that the decoder cannot use; mmdet finds out in the first test, after an epoch.
    """
    for item in fields(options):
        value = getattr(options, item.name)
        test, rule = RULES.get(item.name, POSITIVE)
        if not test(value):
            raise ValueError(f'test_cfg of {owner}: {item.name} must be {rule}, but is {value!r}')


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_nms(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return value is None
    kind, threshold = value.get('type', 'nms'), value.get('iou_threshold')
    return not value or (kind in NMS_TYPES and (_is_number(threshold) or (threshold is None and kind != 'nms')))


NMS_TYPES = ('nms', 'soft_nms', 'nms_match', 'nms_rotated', 'nms_quadri')  # of mmcv
POSITIVE = (lambda value: _is_whole(value) and value > 0, 'a whole number of at least 1')
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    'local_maximum_kernel': (lambda value: _is_whole(value) and value > 0 and value % 2 == 1, 'a positive odd number'),
    'max_per_img': (_is_whole, 'a whole number'),
    'nms_pre': (_is_whole, 'a whole number'),
    'score_thr': (_is_number, 'a number'),
    'min_bbox_size': (_is_number, 'a number'),
    'distance_threshold': (_is_number, 'a number'),
    'nms': (_is_nms, f'None, or a dict with a type of {NMS_TYPES} and an iou_threshold'),
}


def live_config(cfg: Mapping[str, Any] | None) -> ConfigDict:
    """A ConfigDict itself, so that later changes of it take effect; a plain dict or None becomes a new one."""
    return cfg if isinstance(cfg, ConfigDict) else ConfigDict(cfg or {})
