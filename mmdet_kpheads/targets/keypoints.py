"""Targets of the keypoint heads: Gaussian heat map, cell and offset of one keypoint per box (a center, a corner).

Source: CornerNet, arXiv 1808.01244, section 3.2; Objects as Points, arXiv 1904.07850, section 3.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..backends import version_of
from ..functional.gaussian import (
    DEFAULT_MIN_OVERLAP,
    Gaussians,
    check_radius_options,
    draw,
    gaussian_radius,
    largest_radius,
)
from ..functional.precedence import first_of_each
from ..structures import GroundTruth, MapGeometry


@dataclass(frozen=True)
class TargetOptions:
    """How large the Gaussians are, and what is left out.

    Args:
        radius: ``'exact'``, or ``'legacy'`` for that of CenterNet's repository: its formula (that of CornerNet before
            its correction), of sizes rounded up.
        min_overlap: IoU kept inside the Gaussian radius; None for 0.3 (exact) or 0.7 (legacy).
        ignore_regions: Exclude cells that touch an ignore box (COCO crowd, VOC difficult) from the loss.

    Raises:
        ValueError: For an option out of range.
    """

    radius: str = 'exact'
    min_overlap: float | None = None
    ignore_regions: bool = False

    def __post_init__(self) -> None:
        check_radius_options(self.radius, self.overlap)

    @property
    def overlap(self) -> float:
        """``min_overlap``, or its default for the radius."""
        return DEFAULT_MIN_OVERLAP.get(self.radius, 0.0) if self.min_overlap is None else self.min_overlap


class KeypointTargets(NamedTuple):
    """Targets of a batch; per-box values are in the order of the ground truth."""

    gaussians: Gaussians  # of the heat map
    weight: Tensor | None  # (B, 1, H, W) float32: 0 on cells of ignore boxes; None for 1 everywhere
    num_peaks: Tensor  # scalar float32: distinct (class, cell) with heat map 1
    labels: Tensor  # (B, N) int64
    cells: Tensor  # (B, N) int64, y * W + x of the keypoint
    offsets: Tensor  # (B, N, 2) float32: keypoint - cell, in cells
    sizes: Tensor  # (B, N, 2) float32: width and height of the box in cells
    counted: Tensor  # (B, N) bool: valid boxes whose keypoint is in no ignore box
    regress: Tensor  # (B, N) bool: boxes that train the offset (and size) at their cell
    num_shared_cells: Tensor  # scalar float32: boxes that lost their cell to a smaller one


class CornerTargets(NamedTuple):
    """Targets of both corners; the boxes of both are in the order of the ground truth."""

    top_left: KeypointTargets
    bottom_right: KeypointTargets

    def pair_cells(self) -> Tensor:
        """(B, N, 2) int64: the cells of the two corners of each box, where its tags are read."""
        return torch.stack((self.top_left.cells, self.bottom_right.cells), -1)

    def pair_mask(self) -> Tensor:
        """(B, N) bool: boxes whose corners are grouped."""
        return self.top_left.counted & self.bottom_right.counted


def center_targets(
    truth: GroundTruth,
    geometry: MapGeometry,
    num_classes: int,
    options: TargetOptions = TargetOptions(),
    class_specific: bool = False,
) -> KeypointTargets:
    """Targets of the centers. With ``class_specific`` sizes, boxes share a cell only with boxes of their class."""
    boxes = geometry.to_cells(truth.boxes)
    centers, sizes = (boxes[..., 2:] + boxes[..., :2]) / 2, boxes[..., 2:] - boxes[..., :2]
    sizes_for_radius = sizes.ceil() if options.radius == 'legacy' else sizes
    return _keypoint_targets(truth, centers, sizes, sizes_for_radius, geometry, num_classes, options, class_specific)


def corner_targets(
    truth: GroundTruth, geometry: MapGeometry, num_classes: int, options: TargetOptions = TargetOptions()
) -> CornerTargets:
    """Targets of both corners. The radius is that of the size rounded up, as in CornerNet's repository and mmdet."""
    boxes = geometry.to_cells(truth.boxes)
    sizes = boxes[..., 2:] - boxes[..., :2]
    top_left, bottom_right = (
        _keypoint_targets(truth, corners, sizes, sizes.ceil(), geometry, num_classes, options)
        for corners in (boxes[..., :2], boxes[..., 2:])
    )
    return CornerTargets(top_left, bottom_right)


def _keypoint_targets(
    truth: GroundTruth,
    keypoints: Tensor,
    sizes: Tensor,
    sizes_for_radius: Tensor,
    geometry: MapGeometry,
    num_classes: int,
    options: TargetOptions,
    class_specific: bool = False,
) -> KeypointTargets:
    """Heat map and offsets of one keypoint (B, N, 2) per box, positions and sizes in cells.

    Where several keypoints share a cell, the smallest box trains it, in any order of the boxes; mmdet lets the last one
    win. A keypoint on the far side of the image belongs to the last cell of the image, where decoding looks for it.
    """
    height, width = geometry.map_size
    cells = torch.minimum(keypoints.floor(), geometry.last_cell()[:, None])  # (B, N, 2)
    box_width, box_height = sizes_for_radius.unbind(-1)
    radius = gaussian_radius(box_height, box_width, options.overlap, options.radius)
    gaussians = Gaussians(
        shape=(len(truth.boxes), num_classes, height, width),
        cells=cells.long(),
        radius=radius.floor().clamp(min=0).long(),
        labels=truth.labels,
        valid=truth.valid,
        max_radius=largest_radius(geometry.map_size, options.overlap, options.radius),
    )
    flat = cells[..., 1].long() * width + cells[..., 0].long()  # (B, N)
    counted, weight = truth.valid, None
    if options.ignore_regions:
        ignored = geometry.touched_cells(truth.ignore_boxes, truth.ignore_valid)
        weight = 1 - ignored.float()
        counted = counted & ~ignored.flatten(1).gather(1, flat)
    class_cell = truth.labels * (height * width) + flat
    keys = torch.cat((class_cell if class_specific else flat, class_cell))  # (2 B, N): one sort for both
    regress, peaks = first_of_each(keys, counted.repeat(2, 1)).chunk(2)
    return KeypointTargets(
        gaussians=gaussians,
        weight=weight,
        num_peaks=peaks.sum(dtype=torch.float32),
        labels=truth.labels,
        cells=flat,
        offsets=keypoints - cells,
        sizes=sizes,
        counted=counted,
        regress=regress,
        num_shared_cells=(counted & ~regress).sum(dtype=torch.float32),
    )


def center_target_maps(targets: KeypointTargets, backend: str = 'auto') -> dict[str, Tensor]:
    """The maps of mmdet's ``CenterNetHead.get_targets``, for visualization and comparison."""
    trained = targets.regress[..., None].float().expand(-1, -1, 2)
    return {
        'center_heatmap_target': _drawn(targets, backend),
        'wh_target': _written(targets.sizes, targets),
        'offset_target': _written(targets.offsets, targets),
        'wh_offset_target_weight': _written(trained, targets),
    }


def corner_target_maps(targets: CornerTargets, backend: str = 'auto') -> dict[str, Tensor]:
    """The maps of mmdet's ``CornerHead.get_targets``, for visualization and comparison."""
    return {
        'topleft_heatmap': _drawn(targets.top_left, backend),
        'topleft_offset': _written(targets.top_left.offsets, targets.top_left),
        'bottomright_heatmap': _drawn(targets.bottom_right, backend),
        'bottomright_offset': _written(targets.bottom_right.offsets, targets.bottom_right),
    }


def _drawn(targets: KeypointTargets, backend: str) -> Tensor:
    return version_of(draw, targets.cells, backend)(targets.gaussians)


def _written(values: Tensor, targets: KeypointTargets) -> Tensor:
    """Values (B, N, 2) written at the cells that they train: (B, 2, H, W)."""
    height, width = targets.gaussians.shape[2:]
    index = torch.where(targets.regress, targets.cells, height * width)  # others go to a spare cell
    maps = values.new_zeros(values.shape[0], 2, height * width + 1)
    maps.scatter_(2, index[:, None].expand(-1, 2, -1), values.transpose(1, 2))
    return maps[..., :-1].unflatten(2, (height, width))
