"""Predictions at grid points to boxes: FCOS, arXiv 1904.01355, section 3.1; AutoAssign, arXiv 2007.03496.

Shape legend: B images, C classes, H x W cells of a level, M boxes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..functional.boxes import clip_boxes, has_area
from ..functional.peaks import gather_cells
from ..functional.topk import top_cells
from .detections import Detections


class PointLevel(NamedTuple):
    """Predictions of one level."""

    class_logits: Tensor  # (B, C, H, W)
    distances_px: Tensor  # (B, 4, H, W) left, top, right, bottom
    objectness_logits: Tensor  # (B, 1, H, W)
    stride_px: int


def decode_points(
    levels: Sequence[PointLevel], extent_px: Tensor, score_thr: float = 0.05, nms_pre: int = 1000
) -> Detections:
    """Boxes of a whole batch at once; fixed-size tensors, no device synchronization.

    The threshold and the choice of the best act on the class probability alone, the score is class x objectness. Of
    equal ones the first class and cell wins.

    Differs from mmdet's head: points outside the image are left out, so that padding changes nothing.

    Args:
        levels: Predictions.
        extent_px: (B, 4) the image inside the input, xyxy: boxes are clipped to it.
        score_thr: A class probability must be above it.
        nms_pre: Boxes a level at most; all if not positive.
    """
    found = [_decode_level(level, extent_px, score_thr, nms_pre) for level in levels]
    boxes, scores, labels, valid = (torch.cat(part, 1) for part in zip(*found, strict=True))
    scores, order = torch.where(valid, scores, -1.0).sort(dim=1, descending=True, stable=True)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Detections(boxes, scores, labels.gather(1, order), valid.gather(1, order))


def _decode_level(level: PointLevel, extent_px: Tensor, score_thr: float, nms_pre: int) -> Detections:
    height, width = level.class_logits.shape[-2:]
    cells = height * width
    logits = level.class_logits.masked_fill(~_inside(level, extent_px), -torch.inf)
    best, index = top_cells(logits, nms_pre if nms_pre > 0 else math.prod(logits.shape[1:]))  # (B, M)
    probability = best.sigmoid()
    label, cell = index // cells, index % cells
    objectness = gather_cells(level.objectness_logits, cell)[..., 0].float().sigmoid()
    point = torch.stack((cell % width, cell // width), -1) * float(level.stride_px)  # (B, M, 2)
    left_top, right_bottom = gather_cells(level.distances_px, cell).float().split(2, -1)
    boxes = clip_boxes(torch.cat((point - left_top, point + right_bottom), -1), extent_px)
    return Detections(boxes, probability * objectness, label, (probability > score_thr) & has_area(boxes))


def _inside(level: PointLevel, extent_px: Tensor) -> Tensor:
    """Points inside the image, (B, 1, H, W) bool."""
    height, width = level.class_logits.shape[-2:]
    x, y = (torch.arange(size, device=extent_px.device) * float(level.stride_px) for size in (width, height))
    x1, y1, x2, y2 = extent_px[..., None].unbind(1)  # (B, 1) each
    columns, rows = (x >= x1) & (x < x2), (y >= y1) & (y < y2)  # (B, W), (B, H)
    return (rows[:, :, None] & columns[:, None])[:, None]
