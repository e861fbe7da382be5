"""Pairs of an object and a grid point inside it: what AutoAssign (arXiv 2007.03496) is trained on.

The grid points of a level inside a box are a rectangle of cells. Only the rectangles are kept; a pair is computed from
its index. No tensor of size grid points x objects exists.

Shape legend: B images, N objects, L levels, T grid points of all levels, P pairs, S = B * N * (L + 1) segments. Objects
are counted through the batch (B * N), grid points through the levels of an image and then through the batch (B * T).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..backends import as_one_graph
from ..structures import GridPyramid, GroundTruth
from ..structures.geometry import grid_points_between, to_device

SIDE_PER_STRIDE = 8  # a level fits boxes up to 8 strides: FCOS's ranges 64, 128, 256, 512 (1904.01355, section 3.2)


class PairIndices(NamedTuple):
    """Some pairs, in the order of their objects."""

    objects: Tensor  # (P,) int64 in [0, B * N)
    points: Tensor  # (P,) int64 in [0, B * T)


class GridPairs(NamedTuple):
    """All pairs of a batch, object by object, as the rectangles that they come from.

    An object has L + 1 segments of pairs: the grid points inside it on each level, and those assigned by force.
    """

    total: int  # P, read from the device
    ends: Tensor  # (S,) int64: pairs up to the end of each segment
    counts: Tensor  # (S,) int64: pairs of each segment
    first_point: Tensor  # (S,) int64: grid point in the corner of the rectangle
    columns: Tensor  # (S,) int64: width of the rectangle, at least 1
    skip: Tensor  # (S,) int64: grid points of the map between a row of the rectangle and the next
    forced: Tensor  # (B * N, k) int64: grid points assigned by force; used where an object holds none
    covered: Tensor  # (B, N) bool: objects that hold a grid point

    def slice(self, first: int, last: int) -> PairIndices:
        """Pairs ``first`` up to, but not including, ``last``."""
        ends = self.ends.clamp(first, last)
        segment = torch.repeat_interleave(ends.diff(prepend=ends.new_full((1,), first)), output_size=last - first)
        index = torch.arange(first, last, device=ends.device)
        rank = index - (self.ends - self.counts).index_select(0, segment)
        row = rank // self.columns.index_select(0, segment)
        points = self.first_point.index_select(0, segment) + rank + row * self.skip.index_select(0, segment)
        segments_per_object = len(self.ends) // max(1, len(self.forced))
        objects = segment // segments_per_object
        if self.forced.shape[1]:
            by_force = self.forced[objects, rank.clamp(max=self.forced.shape[1] - 1)]
            points = torch.where(segment % segments_per_object == segments_per_object - 1, by_force, points)
        return PairIndices(objects, points)


def grid_pairs(truth: GroundTruth, grid: GridPyramid, forced_points: int = 0, backend: str = 'auto') -> GridPairs:
    """Pair every object with the grid points strictly inside its box.

    The number of pairs is read from the device, the one host-device sync of AutoAssign's loss.

    Args:
        truth: The objects.
        grid: The grid points.
        forced_points: An object that holds no grid point gets this many: those nearest to its center, inside the image,
            on the level that fits its longer side. 0 for none.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
    """
    device = truth.boxes.device
    *level_starts, num_points = grid.starts
    sizes = to_device(torch.tensor(grid.sizes), device)  # (L, 2) as height, width
    strides = to_device(torch.tensor(grid.strides, dtype=torch.float32), device)  # (L,)
    starts = to_device(torch.tensor(level_starts), device)  # (L,)
    rectangles = as_one_graph(_rectangles, truth.boxes, backend)
    pairs = rectangles(truth, sizes, strides, starts, num_points, forced_points)
    return pairs._replace(total=int(pairs.ends[-1]))


def _rectangles(
    truth: GroundTruth, sizes: Tensor, strides: Tensor, starts: Tensor, num_points: int, forced_points: int
) -> GridPairs:
    """The pairs, before their number is known; sizes (L, 2), strides and starts (L,) of the levels."""
    x1, y1, x2, y2 = truth.boxes[..., None].unbind(2)  # (B, N, 1) each
    x, columns = grid_points_between(x1, x2, strides, sizes[:, 1])  # (B, N, L) each
    y, rows = grid_points_between(y1, y2, strides, sizes[:, 0])
    inside = rows * columns * truth.valid[..., None]
    covered = inside.sum(-1) > 0
    image_start = torch.arange(len(inside), device=inside.device)[:, None, None] * num_points  # (B, 1, 1)
    forced = _nearest_points(truth, starts, sizes, strides, forced_points)  # (B, N, k)
    num_forced = (forced >= 0).sum(-1) * (truth.valid & ~covered)
    counts = torch.cat((inside, num_forced[..., None]), -1).flatten()
    ends = counts.cumsum(0)
    return GridPairs(
        total=0,
        ends=ends,
        counts=counts,
        first_point=_with_forced(image_start + starts + y * sizes[:, 1] + x),
        columns=_with_forced(columns.clamp(min=1)),
        skip=_with_forced(sizes[:, 1] - columns),
        forced=(image_start + forced).flatten(0, 1),
        covered=covered,
    )


def fitting_level(boxes: Tensor, strides: Tensor) -> Tensor:
    """The finest level whose range holds the longer side of each box, the last one for larger boxes: (...) int64."""
    longer_px = (boxes[..., 2:] - boxes[..., :2]).amax(-1)
    return (longer_px[..., None] > strides[:-1] * SIDE_PER_STRIDE).sum(-1)


def _nearest_points(truth: GroundTruth, starts: Tensor, sizes: Tensor, strides: Tensor, k: int) -> Tensor:
    """The ``k`` grid points of the image nearest to each center on the fitting level, (B, N, k); -1 for none left.

    They are in a window of k x k cells around the center, moved into the image; of equally near ones the first wins.
    """
    boxes = truth.boxes
    if k == 0:
        return boxes.new_zeros(*boxes.shape[:2], 0, dtype=torch.int64)
    level = fitting_level(boxes, strides)  # (B, N)
    _, in_image = grid_points_between(  # (B, L, 2) as width, height
        -torch.ones_like(strides)[:, None], truth.extent_px[:, None, 2:], strides[:, None], sizes.flip(-1)
    )
    limit = in_image.gather(1, level[..., None].expand(-1, -1, 2))  # (B, N, 2)
    center = (boxes[..., :2] + boxes[..., 2:]) / 2 / strides[level][..., None]  # (B, N, 2) in cells
    corner = torch.minimum((center - k / 2).ceil().long().clamp(min=0), (limit - k).clamp(min=0))
    step = torch.arange(k, device=boxes.device)
    x, y = (corner[..., axis, None] + step for axis in (0, 1))  # (B, N, k) each
    far_x = (x - center[..., :1]) ** 2 + torch.where(x < limit[..., :1], 0, torch.inf)
    far_y = (y - center[..., 1:]) ** 2 + torch.where(y < limit[..., 1:], 0, torch.inf)
    far = (far_y[..., :, None] + far_x[..., None, :]).flatten(2)  # (B, N, k * k)
    row_start = starts[level][..., None] + y * sizes[level, 1][..., None]  # (B, N, k)
    point = row_start[..., :, None] + x[..., None, :]
    nearest, order = far.sort(dim=-1, stable=True)
    point = point.flatten(2).gather(-1, order[..., :k])
    return torch.where(nearest[..., :k] < torch.inf, point, -1)


def _with_forced(of_levels: Tensor) -> Tensor:
    """A value of each object and level (B, N, L), and 1 for the segment of the forced points: (S,)."""
    return pad(of_levels, (0, 1), value=1).flatten()
