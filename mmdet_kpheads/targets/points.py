"""Targets of one kind of point (a center, a corner): Gaussian heat map, cell and offset of every box's point.

Source: CornerNet, arXiv 1808.01244, section 3.2; Objects as Points, arXiv 1904.07850, section 3.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional.boxes import cells_touched
from ..functional.gaussian import Gaussians, gaussian_radius, largest_radius
from ..functional.grouping import first_of_each
from ..ground_truth import GroundTruth


class PointTargets(NamedTuple):
    """Targets of a batch; what is per box refers to the boxes of the ground truth, in its order."""

    gaussians: Gaussians  # of the heat map
    weight: Tensor | None  # (B, 1, H, W) float32: 0 on cells of ignore boxes; None for 1 everywhere
    num_peaks: Tensor  # scalar float32: distinct (class, cell) with heat map 1
    cells: Tensor  # (B, N) int64, y * W + x of the point
    offsets: Tensor  # (B, N, 2) float32: point - cell, in cells
    sizes: Tensor  # (B, N, 2) float32: width and height of the box in cells
    counted: Tensor  # (B, N) bool: valid boxes whose point lies in no ignore box
    regress: Tensor  # (B, N) bool: boxes that train the offset (and size) at their cell
    num_shared_cells: Tensor  # scalar float32: boxes that lost their cell to a smaller one

    @property
    def heatmap(self) -> Tensor:
        """(B, C, H, W) float32, drawn anew at each call."""
        return self.gaussians.dense()


class MapFrame(NamedTuple):
    """How a heat map lies over the network input, and how large the Gaussians on it are."""

    shape: torch.Size  # (B, C, H, W)
    input_size: tuple[int, int]  # (height, width) in pixels; the map covers all of it
    min_overlap: float  # IoU that a point inside the radius keeps
    radius_mode: str = 'exact'

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.shape[2], self.shape[3]

    @property
    def cells_per_px(self) -> tuple[float, float]:
        """Scale along x and y."""
        return self.shape[3] / self.input_size[1], self.shape[2] / self.input_size[0]


def scaled_boxes(truth: GroundTruth, frame: MapFrame) -> Tensor:
    """Boxes in cells, (B, N, 4)."""
    scale = torch.tensor(frame.cells_per_px * 2).to(truth.boxes.device, non_blocking=True)
    return truth.boxes * scale


def point_targets(
    truth: GroundTruth,
    points: Tensor,
    sizes: Tensor,
    frame: MapFrame,
    ignore_regions: bool = False,
    per_class_cells: bool = False,
    whole_sizes: bool = False,
) -> PointTargets:
    """Heat map and offsets of one point a box.

    Where several points share a cell, the smallest box trains it, whatever the order of the boxes; mmdet lets the
    last one win.

    Args:
        truth: The boxes.
        points: (B, N, 2) x, y in cells.
        sizes: (B, N, 2) width and height in cells.
        frame: The heat map.
        ignore_regions: Give cells that touch an ignore box no weight.
        per_class_cells: Boxes share a cell only with boxes of their class (class-specific sizes).
        whole_sizes: Round sizes up before the radius, as mmdet's CornerNet does.
    """
    height, width = frame.size
    limit = torch.tensor([width - 1.0, height - 1.0]).to(points.device, non_blocking=True)
    cells = torch.minimum(points.floor(), limit)  # (B, N, 2); a point on the far edge belongs to the last cell
    box_width, box_height = (sizes.ceil() if whole_sizes else sizes).unbind(-1)
    radius = gaussian_radius(box_height, box_width, frame.min_overlap, frame.radius_mode).floor().clamp(min=0).long()
    max_radius = largest_radius(frame.size, frame.min_overlap, frame.radius_mode)
    gaussians = Gaussians(frame.shape, cells.long(), radius, truth.labels, truth.valid, max_radius)

    flat = cells[..., 1].long() * width + cells[..., 0].long()  # (B, N)
    counted, weight = truth.valid, None
    if ignore_regions:
        ignored = cells_touched(truth.ignore_boxes, truth.ignore_valid, frame.size, frame.cells_per_px)
        weight = 1 - ignored.float()
        counted = counted & ~ignored.flatten(1).gather(1, flat)
    class_cell = truth.labels * (height * width) + flat
    regress = first_of_each(class_cell if per_class_cells else flat, counted)
    return PointTargets(
        gaussians=gaussians,
        weight=weight,
        num_peaks=first_of_each(class_cell, counted).sum(dtype=torch.float32),
        cells=flat,
        offsets=points - cells,
        sizes=sizes,
        counted=counted,
        regress=regress,
        num_shared_cells=(counted & ~regress).sum(dtype=torch.float32),
    )


def dense_map(values: Tensor, targets: PointTargets) -> Tensor:
    """Values (B, N, 2) written at the cells that they train: (B, 2, H, W), for pictures and comparisons."""
    size = targets.gaussians.shape[-2:]
    index = torch.where(targets.regress, targets.cells, size.numel())  # others go to a spare cell
    maps = values.new_zeros(values.shape[0], 2, size.numel() + 1)
    maps.scatter_(2, index[:, None].expand(-1, 2, -1), values.transpose(1, 2))
    return maps[..., :-1].unflatten(2, size)
