"""Pairs of an object and a grid point that belongs to it: what AutoAssign (arXiv 2007.03496) is trained on.

The points of a level form a regular grid, so the points inside a box are a rectangle of cells. Only the rectangles are
kept; a pair is worked out from its number. Nothing of size points x boxes is made.

Shape legend: B images, N boxes, L levels, T points of all levels, P pairs, S = B * N * (L + 1) segments. Boxes are
counted through the batch (B * N), points through the levels of an image and then through the batch (B * T).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..ground_truth import GroundTruth

SIDE_PER_STRIDE = 8  # a level fits boxes up to 8 strides: FCOS's ranges 64, 128, 256, 512 (1904.01355, section 3.2)


class PointGrid(NamedTuple):
    """The points of a feature pyramid: cell * stride, in pixels of the network input."""

    sizes: tuple[tuple[int, int], ...]  # (height, width) of each level in cells
    strides: tuple[int, ...]  # pixels per cell of each level

    @property
    def starts(self) -> tuple[int, ...]:
        """Number of the first point of each level, and T at the end."""
        starts = [0]
        for height, width in self.sizes:
            starts.append(starts[-1] + height * width)
        return tuple(starts)

    def points_px(self, device: torch.device) -> Tensor:
        """(T, 2) float32 as x, y."""
        levels = []
        for (height, width), stride in zip(self.sizes, self.strides, strict=True):
            cell = torch.arange(height * width)
            levels.append(torch.stack((cell % width, cell // width), -1) * float(stride))
        return torch.cat(levels).to(device, non_blocking=True)

    def stride_px(self, device: torch.device) -> Tensor:
        """(T,) float32: stride of each point's level."""
        levels = [
            torch.full((height * width,), float(stride))
            for (height, width), stride in zip(self.sizes, self.strides, strict=True)
        ]
        return torch.cat(levels).to(device, non_blocking=True)


class Pairs(NamedTuple):
    """Some pairs, in the order of their boxes."""

    box: Tensor  # (P,) int64 in [0, B * N)
    point: Tensor  # (P,) int64 in [0, B * T)


class PointPairs(NamedTuple):
    """All pairs of a batch, box by box, as the rectangles that they come from.

    A box has L + 1 segments of pairs: the cells inside it on each level, and the points given to it by force.
    """

    total: int  # P, read from the device
    ends: Tensor  # (S,) int64: pairs up to the end of each segment
    counts: Tensor  # (S,) int64: pairs of each segment
    first_point: Tensor  # (S,) int64: point in the corner of the rectangle
    columns: Tensor  # (S,) int64: width of the rectangle, at least 1
    skip: Tensor  # (S,) int64: points of the map between a row of the rectangle and the next
    forced: Tensor  # (B * N, k) int64: points given by force; used where a box holds none
    covered: Tensor  # (B, N) bool: boxes that hold a grid point

    def slice(self, first: int, last: int) -> Pairs:
        """Pairs number ``first`` up to ``last``, without the last; there must be so many."""
        ends = self.ends.clamp(first, last)
        segment = torch.repeat_interleave(ends.diff(prepend=ends.new_full((1,), first)), output_size=last - first)
        index = torch.arange(first, last, device=ends.device)
        rank = index - (self.ends - self.counts).index_select(0, segment)
        row = rank // self.columns.index_select(0, segment)
        point = self.first_point.index_select(0, segment) + rank + row * self.skip.index_select(0, segment)
        segments_per_box = len(self.ends) // max(1, len(self.forced))
        box = segment // segments_per_box
        if self.forced.shape[1]:
            by_force = self.forced[box, rank.clamp(max=self.forced.shape[1] - 1)]
            point = torch.where(segment % segments_per_box == segments_per_box - 1, by_force, point)
        return Pairs(box, point)


def point_pairs(truth: GroundTruth, grid: PointGrid, forced_points: int = 0) -> PointPairs:
    """Pair every box with the points strictly inside it.

    The number of pairs is read from the device, the one synchronization of AutoAssign's loss.

    Args:
        truth: The boxes.
        grid: The points.
        forced_points: A box that holds no point gets this many: those nearest to its center, on the level that fits its
            longer side. 0 for none.
    """
    device = truth.boxes.device
    sizes = torch.tensor(grid.sizes).to(device, non_blocking=True)  # (L, 2) as height, width
    strides = torch.tensor(grid.strides, dtype=torch.float32).to(device, non_blocking=True)  # (L,)
    x1, y1, x2, y2 = truth.boxes[..., None].unbind(2)  # (B, N, 1) each
    x, columns = cells_between(x1, x2, strides, sizes[:, 1])  # (B, N, L) each
    y, rows = cells_between(y1, y2, strides, sizes[:, 0])
    inside = rows * columns * truth.valid[..., None]
    covered = inside.sum(-1) > 0
    *level_starts, num_points = grid.starts
    image_start = torch.arange(len(inside), device=device)[:, None, None] * num_points  # (B, 1, 1)
    first_point = image_start + torch.tensor(level_starts).to(device, non_blocking=True) + y * sizes[:, 1] + x
    forced = _nearest_points(truth.boxes, grid, sizes, strides, forced_points)  # (B, N, k)
    num_forced = (forced >= 0).sum(-1) * (truth.valid & ~covered)
    counts = torch.cat((inside, num_forced[..., None]), -1).flatten()
    ends = counts.cumsum(0)
    return PointPairs(
        total=int(ends[-1]),
        ends=ends,
        counts=counts,
        first_point=_with_forced(first_point),
        columns=_with_forced(columns.clamp(min=1)),
        skip=_with_forced(sizes[:, 1] - columns),
        forced=(image_start + forced).flatten(0, 1),
        covered=covered,
    )


def points_inside(grid: PointGrid, boxes: Tensor, valid: Tensor) -> Tensor:
    """Points strictly inside any of the valid boxes (B, N, 4) of each image: (B, T) bool."""
    x1, y1, x2, y2 = boxes[..., None].unbind(2)  # (B, N, 1) each
    levels = []
    for (height, width), stride in zip(grid.sizes, grid.strides, strict=True):
        x, y = (torch.arange(size, device=boxes.device) * float(stride) for size in (width, height))
        columns, rows = (x > x1) & (x < x2) & valid[..., None], (y > y1) & (y < y2)  # (B, N, W), (B, N, H)
        boxes_over = rows.float().transpose(1, 2) @ columns.float()  # (B, H, W)
        levels.append((boxes_over > 0).flatten(1))
    return torch.cat(levels, 1)


def cells_between(low_px: Tensor, high_px: Tensor, stride_px: Tensor, num_cells: Tensor) -> tuple[Tensor, Tensor]:
    """First of the cells with low < cell * stride < high, and how many there are; int64."""
    first, last = (low_px / stride_px).floor(), (high_px / stride_px).ceil()
    first = first + (first * stride_px <= low_px).float()
    last = torch.minimum(last - (last * stride_px >= high_px).float(), num_cells - 1)
    first = first.clamp(min=0)
    return first.long(), (last - first + 1).clamp(min=0).long()


def fitting_level(boxes: Tensor, strides: Tensor) -> Tensor:
    """The finest level whose range holds the longer side of each box, the last one for larger boxes: (...) int64."""
    longer_px = (boxes[..., 2:] - boxes[..., :2]).amax(-1)
    return (longer_px[..., None] > strides[:-1] * SIDE_PER_STRIDE).sum(-1)


def _nearest_points(boxes: Tensor, grid: PointGrid, sizes: Tensor, strides: Tensor, k: int) -> Tensor:
    """The ``k`` points nearest to each center on the fitting level, (B, N, k); -1 where the level has fewer.

    They lie in a window of k x k cells around the center, moved into the map; of equally far ones the first wins.
    """
    if k == 0:
        return boxes.new_zeros(*boxes.shape[:2], 0, dtype=torch.int64)
    level = fitting_level(boxes, strides)  # (B, N)
    limit = sizes[level].flip(-1)  # (B, N, 2) as width, height
    center = (boxes[..., :2] + boxes[..., 2:]) / 2 / strides[level][..., None]  # (B, N, 2) in cells
    corner = torch.minimum((center - k / 2).ceil().long().clamp(min=0), (limit - k).clamp(min=0))
    step = torch.arange(k, device=boxes.device)
    x, y = (corner[..., axis, None] + step for axis in (0, 1))  # (B, N, k) each
    far_x = (x - center[..., :1]) ** 2 + torch.where(x < limit[..., :1], 0, torch.inf)
    far_y = (y - center[..., 1:]) ** 2 + torch.where(y < limit[..., 1:], 0, torch.inf)
    far = (far_y[..., :, None] + far_x[..., None, :]).flatten(2)  # (B, N, k * k)
    start = torch.tensor(grid.starts[:-1]).to(boxes.device, non_blocking=True)[level]  # (B, N)
    point = start[..., None, None] + y[..., :, None] * limit[..., :1, None] + x[..., None, :]
    nearest, order = far.sort(dim=-1, stable=True)
    point = point.flatten(2).gather(-1, order[..., :k])
    return torch.where(nearest[..., :k] < torch.inf, point, -1)


def _with_forced(of_levels: Tensor) -> Tensor:
    """A value of each box and level (B, N, L), and 1 for the segment of the points given by force: (S,)."""
    return pad(of_levels, (0, 1), value=1).flatten()
