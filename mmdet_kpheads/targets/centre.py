"""What a centre head is trained on: Objects as Points, arXiv 1904.07850, section 3.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..functional.boxes import cells_touched
from ..functional.gaussian import draw_gaussians, gaussian_radius, largest_radius
from ..functional.grouping import first_of_each
from ..ground_truth import GroundTruth


class CentreTargets(NamedTuple):
    """Targets of a batch; everything per box refers to the boxes of the ground truth, in its order."""

    heatmap: Tensor  # (B, C, H, W) float32
    weight: Tensor | None  # (B, 1, H, W) float32: 0 on cells of ignore boxes; None for 1 everywhere
    num_peaks: Tensor  # scalar float32: distinct (class, cell) with heat map 1
    cells: Tensor  # (B, N) int64, y * W + x of the centre
    sizes: Tensor  # (B, N, 2) float32: width and height in cells
    offsets: Tensor  # (B, N, 2) float32: centre - floor(centre), in cells
    regress: Tensor  # (B, N) bool: boxes whose size and offset are trained
    num_shared_cells: Tensor  # scalar float32: boxes that lost their cell to a smaller one

    def dense(self) -> dict[str, Tensor]:
        """The maps of mmdet's ``CenterNetHead.get_targets``, for pictures and comparisons."""
        size = self.heatmap.shape[-2:]
        index = torch.where(self.regress, self.cells, size.numel())  # others go to a spare cell
        trained = self.regress[..., None].float().expand(-1, -1, 2)
        return {
            'center_heatmap_target': self.heatmap,
            'wh_target': _scatter(self.sizes, index, size),
            'offset_target': _scatter(self.offsets, index, size),
            'wh_offset_target_weight': _scatter(trained, index, size),
        }


def centre_targets(
    truth: GroundTruth,
    map_shape: torch.Size,
    input_size: tuple[int, int],
    min_overlap: float,
    radius_mode: str = 'exact',
    ignore_regions: bool = False,
    per_class_cells: bool = False,
) -> CentreTargets:
    """Heat map, sizes and offsets of all boxes of a batch.

    Where several centres share a cell, the smallest box trains size and offset, whatever the order of the boxes;
    mmdet's head lets the last one win.

    Args:
        truth: The boxes, in input pixels.
        map_shape: (B, C, H, W) of the heat map.
        input_size: (height, width) of the network input in pixels; the map covers all of it.
        min_overlap: IoU that a centre inside the radius keeps.
        radius_mode: ``'exact'`` or ``'legacy'``, see :func:`~mmdet_kpheads.functional.gaussian.gaussian_radius`.
        ignore_regions: Give cells that touch an ignore box no weight.
        per_class_cells: Boxes share a cell only with boxes of their class (class-specific sizes).
    """
    height, width = map_shape[-2:]
    cells_per_px = (width / input_size[1], height / input_size[0])
    scaled = truth.boxes * truth.boxes.new_tensor(cells_per_px).repeat(2)  # (B, N, 4) cells
    sizes = scaled[..., 2:] - scaled[..., :2]
    centres = (scaled[..., 2:] + scaled[..., :2]) / 2
    limit = centres.new_tensor([width - 1, height - 1])
    cells = torch.minimum(centres.floor(), limit)  # (B, N, 2); the clip only acts on rounding at the far edge
    radius = gaussian_radius(sizes[..., 1], sizes[..., 0], min_overlap, radius_mode).floor().clamp(min=0).long()

    xy = cells.long()
    max_radius = largest_radius((height, width), min_overlap, radius_mode)
    heatmap = torch.zeros(map_shape, device=truth.boxes.device)
    draw_gaussians(heatmap, xy, radius, truth.labels, truth.valid, max_radius)

    flat = xy[..., 1] * width + xy[..., 0]  # (B, N)
    counted, weight = truth.valid, None
    if ignore_regions:
        ignored = cells_touched(truth.ignore_boxes, truth.ignore_valid, (height, width), cells_per_px)
        weight = 1 - ignored.float()
        counted = counted & ~ignored.flatten(1).gather(1, flat)
    class_cell = truth.labels * (height * width) + flat
    regress = first_of_each(class_cell if per_class_cells else flat, counted)
    return CentreTargets(
        heatmap=heatmap,
        weight=weight,
        num_peaks=first_of_each(class_cell, counted).sum(dtype=torch.float32),
        cells=flat,
        sizes=sizes,
        offsets=centres - cells,
        regress=regress,
        num_shared_cells=(counted & ~regress).sum(dtype=torch.float32),
    )


def _scatter(values: Tensor, index: Tensor, size: torch.Size) -> Tensor:
    """(B, N, 2) values at flat cells (B, N), the last index being a spare cell: (B, 2, H, W)."""
    maps = values.new_zeros(values.shape[0], 2, size.numel() + 1)
    maps.scatter_(2, index[:, None].expand(-1, 2, -1), values.transpose(1, 2))
    return maps[..., :-1].unflatten(2, size)
