"""Center maps to boxes: Objects as Points, arXiv 1904.07850, section 4.

Shape legend: B images, C classes, H x W cells, K peaks.
"""

import torch
from torch import Tensor

from ..functional.boxes import clip_boxes, has_area
from ..functional.peaks import gather_cells, top_peaks
from .detections import Detections


def decode_centers(
    heat_logits: Tensor,
    sizes: Tensor,
    offsets: Tensor,
    input_size: tuple[int, int],
    extent_px: Tensor,
    topk: int = 100,
    kernel: int = 3,
    score_thr: float = 0.0,
    valid_cells: Tensor | None = None,
) -> Detections:
    """Boxes of a whole batch at once; fixed-size tensors, no device synchronization.

    Differs from mmdet's head: boxes are clipped to the image, and what is left without area is not valid; a plateau
    gives one box; nothing is filled up to ``topk``.

    Args:
        heat_logits: (B, C, H, W).
        sizes: (B, 2, H, W) width and height in cells, or (B, 2 C, H, W) with a pair for each class.
        offsets: (B, 2, H, W) in cells.
        input_size: (height, width) of the network input in pixels.
        extent_px: (B, 4) the image inside the input, xyxy.
        topk: Boxes an image at most.
        kernel: Width of the peak window in cells, odd.
        score_thr: Boxes need a score above it; at 0 all pass.
        valid_cells: (B, 1, H, W) bool cells where a center may lie; None for all.
    """
    height, width = heat_logits.shape[-2:]
    peaks = top_peaks(heat_logits, topk, kernel, valid_cells)
    size = gather_cells(sizes, peaks.cells).float()  # (B, K, 2 or 2 C)
    if size.shape[-1] != 2:
        pairs = size.unflatten(-1, (-1, 2))  # (B, K, C, 2)
        size = pairs.gather(2, peaks.labels[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
    offset = gather_cells(offsets, peaks.cells).float()
    center = torch.stack((peaks.cells % width, peaks.cells // width), -1) + offset  # (B, K, 2)
    px_per_cell = torch.tensor([input_size[1] / width, input_size[0] / height]).to(center.device, non_blocking=True)
    boxes = torch.cat(((center - size / 2) * px_per_cell, (center + size / 2) * px_per_cell), -1)  # (B, K, 4)
    clipped = clip_boxes(boxes, extent_px)
    scores = peaks.logits.sigmoid()
    valid = (peaks.logits > -torch.inf) & has_area(clipped)
    if score_thr > 0:
        valid &= scores > score_thr
    return Detections(clipped, scores, peaks.labels, valid)
