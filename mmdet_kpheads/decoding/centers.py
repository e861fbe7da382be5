"""Center maps to boxes: Objects as Points, arXiv 1904.07850, section 4.

Shape legend: B images, C classes, H x W cells, K peaks.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..backends import version_of
from ..functional.boxes import clip_boxes, has_area
from ..functional.peaks import gather_cells, top_peaks
from ..structures import Detections, MapGeometry
from ..structures.geometry import cells_to_xy
from .options import CenterDecoding


class CenterMaps(NamedTuple):
    """Predictions of one level."""

    heat_logits: Tensor  # (B, C, H, W)
    sizes: Tensor  # (B, 2, H, W) width and height in cells, or (B, 2 C, H, W) with a pair per class
    offsets: Tensor  # (B, 2, H, W) in cells


def decode_centers(
    maps: CenterMaps, geometry: MapGeometry, options: CenterDecoding, backend: str = 'auto'
) -> Detections:
    """Boxes of a whole batch at once.

    Differs from mmdet's head: boxes are clipped to the image, and boxes without area after clipping are invalid; a
    plateau gives one box; no padding detections.

    Args:
        maps: Predictions.
        geometry: How the maps lie over the input.
        options: How centers are picked.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
    """
    find_peaks = version_of(top_peaks, maps.heat_logits, backend)
    peaks = find_peaks(maps.heat_logits, options.topk, options.local_maximum_kernel, geometry.valid_cells())
    size = of_class(gather_cells(maps.sizes, peaks.cells).float(), peaks.labels)  # (B, K, 2)
    offset = gather_cells(maps.offsets, peaks.cells).float()
    center = cells_to_xy(peaks.cells, maps.heat_logits.shape[-1]) + offset  # (B, K, 2)
    boxes = geometry.to_px(torch.cat((center - size / 2, center + size / 2), -1))  # (B, K, 4)
    clipped = clip_boxes(boxes, geometry.extent_px)
    scores = peaks.logits.sigmoid()
    valid = (peaks.logits > -torch.inf) & has_area(clipped)
    if options.score_thr > 0:
        valid = valid & (scores > options.score_thr)
    return Detections(clipped, scores, peaks.labels, valid)


def of_class(sizes: Tensor, labels: Tensor) -> Tensor:
    """Of sizes (B, K, 2 C) the pair of each label (B, K): (B, K, 2); sizes (B, K, 2) are for every class."""
    if sizes.shape[-1] == 2:
        return sizes
    pairs = sizes.unflatten(-1, (-1, 2))  # (B, K, C, 2)
    return pairs.gather(2, labels[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)
