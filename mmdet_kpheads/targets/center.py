"""What a center head is trained on: Objects as Points, arXiv 1904.07850, section 3.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from torch import Tensor

from ..ground_truth import GroundTruth
from .points import MapFrame, PointTargets, dense_map, point_targets, scaled_boxes


def center_targets(
    truth: GroundTruth, frame: MapFrame, ignore_regions: bool = False, per_class_cells: bool = False
) -> PointTargets:
    """Heat map, sizes and offsets of the centers; see :func:`~mmdet_kpheads.targets.points.point_targets`."""
    boxes = scaled_boxes(truth, frame)
    centers, sizes = (boxes[..., 2:] + boxes[..., :2]) / 2, boxes[..., 2:] - boxes[..., :2]
    return point_targets(truth, centers, sizes, frame, ignore_regions, per_class_cells)


def dense_center_targets(targets: PointTargets) -> dict[str, Tensor]:
    """The maps of mmdet's ``CenterNetHead.get_targets``."""
    trained = targets.regress[..., None].float().expand(-1, -1, 2)
    return {
        'center_heatmap_target': targets.heatmap,
        'wh_target': dense_map(targets.sizes, targets),
        'offset_target': dense_map(targets.offsets, targets),
        'wh_offset_target_weight': dense_map(trained, targets),
    }
