"""Boxes, xyxy in absolute pixels. Shape legend: B images, N boxes."""

import torch
from torch import Tensor


def clip_boxes(boxes: Tensor, extent_px: Tensor) -> Tensor:
    """Clip boxes (B, N, 4), or points (B, N, 2), to one extent per image, (B, 4) as x1, y1, x2, y2."""
    corners = int(boxes.shape[-1]) // 2
    low, high = extent_px[:, None, :2].repeat(1, 1, corners), extent_px[:, None, 2:].repeat(1, 1, corners)
    return torch.minimum(torch.maximum(boxes, low), high)


def mirror_boxes(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4) in the mirror image of something that is ``width`` wide."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), -1)


def has_area(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) that are finite and of positive width and height: (...) bool."""
    return is_finite(boxes) & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def is_finite(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) without NaN or infinity: (...) bool."""
    return boxes.abs().amax(-1) < torch.inf  # the maximum with NaN is NaN, which is not below
