"""What a corner head is trained on: CornerNet, arXiv 1808.01244, section 3.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..ground_truth import GroundTruth
from .points import MapFrame, PointTargets, dense_map, point_targets, scaled_boxes


class CornerTargets(NamedTuple):
    """Targets of both corners; the boxes of both stand in the order of the ground truth."""

    top_left: PointTargets
    bottom_right: PointTargets

    @property
    def pair_cells(self) -> Tensor:
        """(B, N, 2) int64: the cells of the two corners of each box, which its tags are read at."""
        return torch.stack((self.top_left.cells, self.bottom_right.cells), -1)

    @property
    def pair_mask(self) -> Tensor:
        """(B, N) bool: boxes whose corners are grouped."""
        return self.top_left.counted & self.bottom_right.counted


def corner_targets(truth: GroundTruth, frame: MapFrame, ignore_regions: bool = False) -> CornerTargets:
    """Heat maps and offsets of both corners; see :func:`~mmdet_kpheads.targets.points.point_targets`."""
    boxes = scaled_boxes(truth, frame)
    sizes = boxes[..., 2:] - boxes[..., :2]
    top_left, bottom_right = (
        point_targets(truth, corner, sizes, frame, ignore_regions, whole_sizes=True)
        for corner in (boxes[..., :2], boxes[..., 2:])
    )
    return CornerTargets(top_left, bottom_right)


def dense_corner_targets(targets: CornerTargets) -> dict[str, Tensor]:
    """The maps of mmdet's ``CornerHead.get_targets``."""
    return {
        'topleft_heatmap': targets.top_left.heatmap,
        'topleft_offset': dense_map(targets.top_left.offsets, targets.top_left),
        'bottomright_heatmap': targets.bottom_right.heatmap,
        'bottomright_offset': dense_map(targets.bottom_right.offsets, targets.bottom_right),
    }
