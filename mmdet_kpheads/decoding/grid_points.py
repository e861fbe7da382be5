"""Predictions at grid points to boxes: FCOS, arXiv 1904.01355, section 3.1; AutoAssign, arXiv 2007.03496.

Shape legend: B images, C classes, H x W cells of a level, M boxes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..backends import version_of
from ..functional.boxes import clip_boxes, has_area
from ..functional.peaks import gather_cells
from ..functional.topk import by_falling_score, top_cells
from ..structures import Detections, GridPyramid
from .options import GridDecoding


class GridMaps(NamedTuple):
    """Predictions of one level."""

    class_logits: Tensor  # (B, C, H, W)
    distances_px: Tensor  # (B, 4, H, W) left, top, right, bottom
    objectness_logits: Tensor  # (B, 1, H, W)


def decode_grid_points(
    levels: Sequence[GridMaps], grid: GridPyramid, extent_px: Tensor, options: GridDecoding, backend: str = 'auto'
) -> Detections:
    """Boxes of a whole batch at once, best first.

    The threshold and the choice of the best act on the class probability alone; the score is class x objectness. Of
    equal ones the first class and cell wins.

    Differs from mmdet's head: grid points outside the image are left out, so that padding changes nothing.

    Args:
        levels: Predictions.
        grid: The grid points.
        extent_px: (B, 4) the image inside the input, xyxy: boxes are clipped to it.
        options: How boxes are picked.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
    """
    inside = grid.inside_image(extent_px)
    found = [
        _decode_level(maps, grid, level, inside[level], extent_px, options, backend)
        for level, maps in enumerate(levels)
    ]
    boxes, scores, labels, valid = (torch.cat(part, 1) for part in zip(*found, strict=True))
    scores, order = version_of(by_falling_score, scores, backend)(torch.where(valid, scores, -1.0))
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Detections(boxes, scores, labels.gather(1, order), valid.gather(1, order))


def _decode_level(
    maps: GridMaps,
    grid: GridPyramid,
    level: int,
    inside: Tensor,
    extent_px: Tensor,
    options: GridDecoding,
    backend: str,
) -> Detections:
    cells = math.prod(maps.class_logits.shape[-2:])
    logits = maps.class_logits.masked_fill(~inside, -torch.inf)
    limit = options.nms_pre if options.nms_pre > 0 else math.prod(logits.shape[1:])
    best, index = version_of(top_cells, logits, backend)(logits, limit)  # (B, M)
    probability = best.sigmoid()
    label, cell = index // cells, index % cells
    objectness = gather_cells(maps.objectness_logits, cell)[..., 0].float().sigmoid()
    point = grid.points_at(level, cell)  # (B, M, 2)
    left_top, right_bottom = gather_cells(maps.distances_px, cell).float().split(2, -1)
    boxes = clip_boxes(torch.cat((point - left_top, point + right_bottom), -1), extent_px)
    valid = (probability > options.score_thr) & has_area(boxes) & objectness.isfinite()
    return Detections(boxes, probability * objectness, label, valid)
