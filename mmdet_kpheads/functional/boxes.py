"""Boxes in absolute pixels, xyxy. Shape legend: B images, N boxes, H x W cells."""

import torch
from torch import Tensor


def clip_boxes(boxes: Tensor, extent_px: Tensor) -> Tensor:
    """Clip boxes (B, N, 4) to one extent an image, (B, 4) as x1, y1, x2, y2."""
    low, high = extent_px[:, None, :2].repeat(1, 1, 2), extent_px[:, None, 2:].repeat(1, 1, 2)
    return torch.minimum(torch.maximum(boxes, low), high)


def has_area(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) that are finite and of positive width and height: (...) bool."""
    return boxes.isfinite().all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)


def cells_touched(boxes: Tensor, valid: Tensor, map_size: tuple[int, int], cells_per_px: tuple[float, float]) -> Tensor:
    """Cells that overlap any of the valid boxes.

    Args:
        boxes: (B, N, 4) in pixels.
        valid: (B, N) bool.
        map_size: (H, W).
        cells_per_px: (x, y).

    Returns:
        (B, 1, H, W) bool.
    """
    height, width = map_size
    left_px = torch.arange(width, device=boxes.device) / cells_per_px[0]  # (W,)
    top_px = torch.arange(height, device=boxes.device) / cells_per_px[1]
    x1, y1, x2, y2 = boxes[..., None].unbind(2)  # (B, N, 1) each
    columns = (left_px + 1 / cells_per_px[0] > x1) & (left_px < x2) & valid[..., None]  # (B, N, W)
    rows = (top_px + 1 / cells_per_px[1] > y1) & (top_px < y2)  # (B, N, H)
    boxes_over = rows.float().transpose(1, 2) @ columns.float()  # (B, H, W)
    return (boxes_over > 0)[:, None]
