"""Gaussian heat maps: the radius that a box allows, and drawing every box of a batch at once.

Shape legend: B images, C classes, N boxes, H x W cells, R largest radius, K = 2R + 1 window width.
"""

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import reads_are_free

SIGMAS_PER_DIAMETER = 6.0  # sigma = (2r + 1) / 6: the window holds three sigmas a side (CornerNet, kp_utils.py)
DEFAULT_MIN_OVERLAP = {'exact': 0.3, 'legacy': 0.7}  # mmdet's value; CenterNet's own (utils/image.py)
WINDOW_CELLS_AT_ONCE = 1 << 24  # window cells drawn in one go: bounds the memory at about 0.3 GB


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float, mode: str = 'exact') -> Tensor:
    """Largest shift of a box's corners that keeps its IoU with the true box at ``min_overlap``.

    Source: CornerNet, arXiv 1808.01244, section 3.1. Three cases: one corner moved inward and one outward, both
    inward, both outward; each is a quadratic ``a r^2 - b r + c = 0`` and the smallest root counts.

    Differs from CenterNet's repository in ``mode='exact'``: that one divides every root by 2 instead of 2a and takes
    the larger root in the first two cases, which ``mode='legacy'`` reproduces.

    Args:
        height: Box heights in cells, any shape.
        width: Box widths in cells, the same shape.
        min_overlap: IoU to keep, in (0, 1).
        mode: ``'exact'`` or ``'legacy'``.

    Returns:
        Radii in cells, before flooring, of the input's shape.

    Raises:
        ValueError: If ``mode`` or ``min_overlap`` is out of range.
    """
    check_radius_options(mode, min_overlap)
    total, area = height + width, height * width
    one_each_way = (1.0, total, area * (1 - min_overlap) / (1 + min_overlap), -1)
    both_inward = (4.0, 2 * total, (1 - min_overlap) * area, -1)
    both_outward = (4 * min_overlap, -2 * min_overlap * total, (min_overlap - 1) * area, 1)
    roots = []
    for a, b, c, sign in (one_each_way, both_inward, both_outward):
        root = (b * b - 4 * a * c).clamp(min=0).sqrt()
        roots.append((b + sign * root) / (2 * a) if mode == 'exact' else (b + root) / 2)
    return torch.minimum(torch.minimum(roots[0], roots[1]), roots[2])


def check_radius_options(mode: str, min_overlap: float) -> None:
    """Raise ``ValueError`` unless the radius options are usable."""
    if mode not in DEFAULT_MIN_OVERLAP:
        raise ValueError(f'radius must be one of {sorted(DEFAULT_MIN_OVERLAP)}, but got {mode!r}')
    if not 0 < min_overlap < 1:
        raise ValueError(f'min_overlap must lie between 0 and 1, but got {min_overlap}')


def largest_radius(map_size: tuple[int, int], min_overlap: float, mode: str) -> int:
    """Radius of a box as large as the map: no box inside the map has a larger one (the roots grow with h and w)."""
    height, width = (len(range(side)) for side in map_size)  # numbers, where torch.compile has symbols for sizes
    return _constant_radius(height, width, min_overlap, mode)


@torch.compiler.assume_constant_result
def _constant_radius(height: int, width: int, min_overlap: float, mode: str) -> int:
    return _largest_radius(height, width, min_overlap, mode)


@functools.cache
def _largest_radius(height: int, width: int, min_overlap: float, mode: str) -> int:
    tall, wide = (torch.tensor(float(side), device='cpu') for side in (height, width))
    return max(0, math.floor(float(gaussian_radius(tall, wide, min_overlap, mode))))


class Gaussians(NamedTuple):
    """Heat maps before they are drawn: one Gaussian a box; overlapping ones of a class take the maximum.

    The value is exp(-(dx^2 + dy^2) / (2 sigma^2)), sigma = (2r + 1) / 6, inside |dx|, |dy| <= r, so a box's own cell
    is exactly 1 (CornerNet section 3.1). Every box gets a window of the same fixed size: no size is read from the
    device, and the number of kernels does not depend on the number of boxes (beyond ``WINDOW_CELLS_AT_ONCE`` window
    cells the boxes are drawn in parts, to bound the memory).
    """

    shape: torch.Size  # (B, C, H, W)
    cells: Tensor  # (B, N, 2) int64 (x, y) inside the map
    radius: Tensor  # (B, N) int64 in cells
    labels: Tensor  # (B, N) int64 in [0, C)
    valid: Tensor  # (B, N) bool; others are not drawn
    max_radius: int  # upper bound of the radius, known on the host

    def dense(self) -> Tensor:
        """(B, C, H, W) float32."""
        heatmap = torch.zeros(self.shape, device=self.cells.device)
        for index, value in self._windows():
            heatmap.view(-1).scatter_reduce_(0, index, value, reduce='amax')
        return heatmap

    def sparse(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Flat indices (U,) of the cells that are not 0, each once, and their values (U,); for a CPU only.

        Args:
            memory: A map of this size, 4 bytes a cell or more, whose content is lost: new memory is costly to touch.
        """
        parts = []
        for index, value in self._windows():
            drawn = value.nonzero()[:, 0]
            parts.append((index.index_select(0, drawn), value.index_select(0, drawn)))
        index, value = (torch.cat(part) for part in zip(*parts, strict=True))
        heatmap = memory.view(-1).view(torch.float32)
        heatmap.index_fill_(0, index, 0).scatter_reduce_(0, index, value, reduce='amax')
        value = heatmap.index_select(0, index)
        number, last = torch.arange(len(index), dtype=torch.int32), heatmap.view(torch.int32)
        last.scatter_(0, index, number)  # of the windows that share a cell one is the last
        once = (last.index_select(0, index) == number).nonzero()[:, 0]
        return index.index_select(0, once), value.index_select(0, once)

    def _windows(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Flat indices and values of the windows, 0 outside the radius, of some boxes at once."""
        max_radius = self.max_radius
        if reads_are_free(self.cells.device) and self.radius.numel():
            max_radius = min(max_radius, int(self.radius.masked_fill(~self.valid, 0).max()))
        batch, boxes = self.cells.shape[:2]
        window_cells = (2 * max_radius + 1) ** 2 * batch * boxes
        parts = 1 + window_cells // WINDOW_CELLS_AT_ONCE
        at_once = -(-boxes // parts)
        for part in range(parts):
            yield self._window(slice(part * at_once, (part + 1) * at_once), max_radius)

    def _window(self, part: slice, max_radius: int) -> tuple[Tensor, Tensor]:
        batch, classes, height, width = self.shape
        cells, radius, valid = self.cells[:, part], self.radius[:, part], self.valid[:, part]
        step = torch.arange(-max_radius, max_radius + 1, device=cells.device)  # (K,)
        inside_window = (step.abs() <= radius[..., None]) & valid[..., None]  # (B, N, K)
        two_sigma_squared = 2 * ((2 * radius + 1) / SIGMAS_PER_DIAMETER) ** 2  # (B, N)
        profile = torch.exp(-(step**2) / two_sigma_squared[..., None]) * inside_window  # (B, N, K)
        x, y = cells[..., :1] + step, cells[..., 1:] + step  # (B, N, K)
        along_x = profile * ((x >= 0) & (x < width))
        along_y = profile * ((y >= 0) & (y < height))
        image = torch.arange(batch, device=cells.device)[:, None]
        plane = (image * classes + self.labels[:, part].clamp(0, classes - 1)) * height  # (B, N): row 0 of the plane
        rows = (plane[..., None] + y.clamp(0, height - 1)) * width  # (B, N, K)
        index = rows[..., :, None] + x.clamp(0, width - 1)[..., None, :]  # (B, N, K, K)
        return index.flatten(), (along_y[..., :, None] * along_x[..., None, :]).flatten()


def nonzero_cells(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices and values of the cells that are not 0; for a CPU only."""
    flat = heatmap.reshape(-1)
    index = flat.nonzero()[:, 0]
    return index, flat[index]
