"""Corner maps to boxes: CornerNet, arXiv 1808.01244, section 4.2.

Shape legend: B images, C classes, H x W cells, K corners of each kind, D embedding channels, M boxes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..backends import version_of
from ..functional.boxes import clip_boxes, has_area
from ..functional.distances import between
from ..functional.embedding import NORMS
from ..functional.peaks import Peaks, gather_cells, top_peaks
from ..functional.topk import top_cells
from ..structures import Detections, MapGeometry
from ..structures.geometry import cells_to_xy
from .options import CornerDecoding


class CornerMaps(NamedTuple):
    """Predictions of one kind of corner."""

    heat_logits: Tensor  # (B, C, H, W)
    tags: Tensor | None  # (B, D, H, W); None: corners are paired by class and geometry alone
    offsets: Tensor  # (B, 2, H, W) in cells


def decode_corners(
    top_left: CornerMaps,
    bottom_right: CornerMaps,
    geometry: MapGeometry,
    options: CornerDecoding,
    distance: str = 'l1',
    backend: str = 'auto',
) -> Detections:
    """Boxes of a whole batch at once.

    Every top-left corner is paired with every bottom-right one. A pair is a box if the classes are the same, the tags
    are close, and the second corner is to the right of and below the first. Its score is the mean of both.

    Differs from mmdet's head: any number of tag channels, including none; boxes are clipped to the image on every
    side; ``num_dets`` and ``corner_topk`` are clamped to the available number; ``score_thr`` is honored.

    Args:
        top_left: Predictions of top-left corners.
        bottom_right: Predictions of bottom-right corners.
        geometry: How the maps lie over the input.
        options: How corners are picked and paired.
        distance: Between tags, ``'l1'`` or ``'l2'``: that of the grouping loss.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
    """
    corners = [_pick(maps, geometry, options, backend) for maps in (top_left, bottom_right)]
    (first, first_px, first_tags), (second, second_px, second_tags) = corners
    grouped = first.labels[:, :, None] == second.labels[:, None, :]  # (B, K, K)
    grouped = grouped & (first.logits > -torch.inf)[:, :, None] & (second.logits > -torch.inf)[:, None, :]
    if first_tags is not None and second_tags is not None:
        apart = version_of(between, first_tags, backend)(first_tags, second_tags, NORMS[distance])  # (B, K, K)
        grouped = grouped & (apart <= options.distance_threshold)
    grouped = grouped & (second_px[:, None, :] > first_px[:, :, None]).all(-1)
    scores = (first.logits.sigmoid()[:, :, None] + second.logits.sigmoid()[:, None, :]) / 2
    best, pair = version_of(top_cells, scores, backend)(torch.where(grouped, scores, -1.0), options.num_dets)  # (B, M)
    column, row = cells_to_xy(pair, second.labels.shape[1]).unbind(-1)
    boxes = torch.cat((_take(first_px, row), _take(second_px, column)), -1)  # (B, M, 4)
    valid = (best >= 0) & has_area(boxes)
    if options.score_thr > 0:
        valid = valid & (best > options.score_thr)
    return Detections(boxes, best, first.labels.gather(1, row), valid)


def _pick(
    maps: CornerMaps, geometry: MapGeometry, options: CornerDecoding, backend: str
) -> tuple[Peaks, Tensor, Tensor | None]:
    """The best corners of one kind: peaks, (B, K, 2) positions in pixels, (B, K, D) tags."""
    find_peaks = version_of(top_peaks, maps.heat_logits, backend)
    peaks = find_peaks(maps.heat_logits, options.corner_topk, options.local_maximum_kernel, geometry.valid_cells())
    offsets = gather_cells(maps.offsets, peaks.cells).float()
    corners = geometry.to_px(cells_to_xy(peaks.cells, maps.heat_logits.shape[-1]) + offsets)  # (B, K, 2)
    corners = clip_boxes(corners, geometry.extent_px)
    tags = None if maps.tags is None else gather_cells(maps.tags, peaks.cells).float()
    return peaks, corners, tags


def _take(positions: Tensor, index: Tensor) -> Tensor:
    """(B, K, 2) positions at (B, M) indices: (B, M, 2)."""
    return positions.gather(1, index[..., None].expand(-1, -1, 2))
