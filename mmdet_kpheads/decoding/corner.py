"""Corner maps to boxes: CornerNet, arXiv 1808.01244, section 4.2.

Shape legend: B images, C classes, H x W cells, K corners of each kind, D embedding channels, M boxes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional.boxes import clip_boxes, has_area
from ..functional.embedding import NORMS
from ..functional.peaks import Peaks, gather_cells, top_peaks
from ..functional.topk import top_cells
from .detections import Detections


class CornerMaps(NamedTuple):
    """Predictions of one kind of corner."""

    heat_logits: Tensor  # (B, C, H, W)
    tags: Tensor | None  # (B, D, H, W); None: corners are paired by class and geometry alone
    offsets: Tensor  # (B, 2, H, W) in cells


class PairingOptions(NamedTuple):
    """How corners are picked and paired."""

    corner_topk: int = 100
    local_maximum_kernel: int = 3
    distance_threshold: float = 0.5
    distance: str = 'l1'  # between tags, 'l1' or 'l2': that of the grouping loss
    num_dets: int = 1000
    score_thr: float = 0.0


def decode_corners(
    top_left: CornerMaps,
    bottom_right: CornerMaps,
    input_size: tuple[int, int],
    extent_px: Tensor,
    options: PairingOptions,
    valid_cells: Tensor | None = None,
) -> Detections:
    """Boxes of a whole batch at once; fixed-size tensors, no device synchronization.

    Every top-left corner is tried with every bottom-right one. A pair is a box if the classes are the same, the tags
    are near, and the second corner lies right of and below the first. Its score is the mean of both.

    Differs from mmdet's head: tags of any width or none, boxes clipped to the image on every side, ``num_dets`` and
    ``corner_topk`` cut to what exists, ``score_thr`` honored.

    Args:
        top_left: Predictions of top-left corners.
        bottom_right: Predictions of bottom-right corners.
        input_size: (height, width) of the network input in pixels.
        extent_px: (B, 4) the image inside the input, xyxy.
        options: How corners are picked and paired.
        valid_cells: (B, 1, H, W) bool cells where a corner may lie; None for all.
    """
    corners = [_pick(maps, input_size, extent_px, options, valid_cells) for maps in (top_left, bottom_right)]
    (first, first_px, first_tags), (second, second_px, second_tags) = corners
    grouped = first.labels[:, :, None] == second.labels[:, None, :]  # (B, K, K)
    grouped &= (first.logits > -torch.inf)[:, :, None] & (second.logits > -torch.inf)[:, None, :]
    if first_tags is not None and second_tags is not None:
        apart = first_tags[:, :, None] - second_tags[:, None, :]  # (B, K, K, D)
        grouped &= torch.linalg.vector_norm(apart, NORMS[options.distance], -1) <= options.distance_threshold
    grouped &= (second_px[:, None, :] > first_px[:, :, None]).all(-1)
    scores = (first.logits.sigmoid()[:, :, None] + second.logits.sigmoid()[:, None, :]) / 2
    best, pair = top_cells(torch.where(grouped, scores, -1.0), options.num_dets)  # (B, M)
    row, column = pair // second.labels.shape[1], pair % second.labels.shape[1]
    boxes = torch.cat((_take(first_px, row), _take(second_px, column)), -1)  # (B, M, 4)
    valid = (best >= 0) & has_area(boxes)
    if options.score_thr > 0:
        valid &= best > options.score_thr
    return Detections(boxes, best, first.labels.gather(1, row), valid)


def _pick(
    maps: CornerMaps,
    input_size: tuple[int, int],
    extent_px: Tensor,
    options: PairingOptions,
    valid_cells: Tensor | None,
) -> tuple[Peaks, Tensor, Tensor | None]:
    """The best corners of one kind: peaks, (B, K, 2) positions in pixels, (B, K, D) tags."""
    height, width = maps.heat_logits.shape[-2:]
    peaks = top_peaks(maps.heat_logits, options.corner_topk, options.local_maximum_kernel, valid_cells)
    cells = torch.stack((peaks.cells % width, peaks.cells // width), -1)  # (B, K, 2)
    points = cells + gather_cells(maps.offsets, peaks.cells).float()
    px_per_cell = torch.tensor([input_size[1] / width, input_size[0] / height])
    points = points * px_per_cell.to(points.device, non_blocking=True)
    points = clip_boxes(points.repeat(1, 1, 2), extent_px)[..., :2]
    tags = None if maps.tags is None else gather_cells(maps.tags, peaks.cells).float()
    return peaks, points, tags


def _take(points: Tensor, index: Tensor) -> Tensor:
    """(B, K, 2) points at (B, M) indices: (B, M, 2)."""
    return points.gather(1, index[..., None].expand(-1, -1, 2))
