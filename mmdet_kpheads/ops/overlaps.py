"""Checks and overlaps shared by the two suppressions. Boxes are absolute xyxy; N boxes, M boxes."""

import torch
from torch import Tensor

from .torchvision_kernels import full_precision


def checked(boxes: Tensor, scores: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """Check the arguments of a suppression and convert them to full precision.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        offset: 0, or 1 if a box includes its last pixel: its width is then ``x2 - x1 + 1``.

    Raises:
        ValueError: If a shape or the offset is another.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'boxes must have the shape (N, 4), got {tuple(boxes.shape)}')
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f'scores must have the shape ({len(boxes)},), got {tuple(scores.shape)}')
    if offset not in (0, 1):
        raise ValueError(f'offset must be 0 or 1, got {offset}')
    return full_precision(boxes), full_precision(scores)


def overlap(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast; NaN for two boxes without area, 0 / 0.

    Args:
        first: (..., 4) xyxy.
        second: (..., 4) xyxy.
        offset: 0 or 1, added to each width and height.

    Returns:
        (...).
    """
    first_area, second_area = ((box[..., 2:] - box[..., :2] + offset).prod(-1) for box in (first, second))
    left_top = torch.maximum(first[..., :2], second[..., :2])
    right_bottom = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (right_bottom - left_top + offset).clamp(min=0).prod(-1)
    return shared / (first_area + second_area - shared)


def overlaps(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """The :func:`overlap` of each pair of boxes (N, 4) and (M, 4): (N, M)."""
    return overlap(first[:, None], second, offset)
