"""Checks and overlaps shared by the two suppressions. Boxes are absolute xyxy; N boxes, M boxes."""

import torch
from torch import Tensor

from .backend import full_precision


def checked(boxes: Tensor, scores: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """Check the arguments of a suppression and give them in full precision.

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


def overlaps(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """Give the intersection over union of each pair; 0 / 0, two boxes without area, is NaN.

    Args:
        first: (N, 4) xyxy.
        second: (M, 4) xyxy.
        offset: 0 or 1, added to each width and height.

    Returns:
        (N, M).
    """
    first_area, second_area = ((b[:, 2] - b[:, 0] + offset) * (b[:, 3] - b[:, 1] + offset) for b in (first, second))
    left_top = torch.maximum(first[:, None, :2], second[:, :2])
    right_bottom = torch.minimum(first[:, None, 2:], second[:, 2:])
    width, height = (right_bottom - left_top + offset).clamp(min=0).unbind(-1)
    shared = width * height
    return shared / (first_area[:, None] + second_area - shared)
