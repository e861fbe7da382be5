"""Gaussian heat maps: the radius that a box allows, and the maps of a whole batch.

Shape legend: B images, C classes, N boxes, H x W cells, R largest radius, K = 2R + 1 window width.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

SIGMAS_PER_DIAMETER = 6.0  # sigma = (2r + 1) / 6: the window holds three sigmas per side (CornerNet, kp_utils.py)
DEFAULT_MIN_OVERLAP = {'exact': 0.3, 'legacy': 0.7}  # mmdet's value; CenterNet's own (utils/image.py)
ROUNDING = 1e-5  # relative error of a radius computed in float32, generously
WINDOW_CELLS_AT_ONCE = 1 << 24  # bounds the memory at about 0.3 GB


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float, mode: str = 'exact') -> Tensor:
    """Largest shift of a box's corners that keeps its IoU with the ground-truth box at ``min_overlap``.

    Source: CornerNet, arXiv 1808.01244, section 3.1.

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

    Example:
        >>> gaussian_radius(torch.tensor(10.0), torch.tensor(10.0), 0.3)
        tensor(2.2614)
    """
    check_radius_options(mode, min_overlap)
    one_each_way, both_inward, both_outward = _radii(height, width, min_overlap, mode)
    return torch.minimum(torch.minimum(one_each_way, both_inward), both_outward)


def largest_radius(map_size: tuple[int, int], min_overlap: float, mode: str) -> int:
    """Upper bound of the floored radius of any box inside the map: the roots grow with both sides."""
    height, width = map_size
    largest = min(_radii(float(height), float(width), min_overlap, mode))
    return math.floor(largest * (1 + ROUNDING))  # a radius in float32 may round up to the next whole number


def check_radius_options(mode: str, min_overlap: float) -> None:
    """Raise ``ValueError`` unless the radius options are usable."""
    if mode not in DEFAULT_MIN_OVERLAP:
        raise ValueError(f'radius must be one of {sorted(DEFAULT_MIN_OVERLAP)}, but got {mode!r}')
    if not 0 < min_overlap < 1:
        raise ValueError(f'min_overlap must be between 0 and 1, but got {min_overlap}')


def _radii(height: Any, width: Any, min_overlap: float, mode: str) -> list:
    """Roots of ``a r^2 - b r + c = 0`` for tensors or numbers, one for each way to shift the two corners."""
    total, area = height + width, height * width
    one_each_way = (1.0, total, area * (1 - min_overlap) / (1 + min_overlap), -1)
    both_inward = (4.0, 2 * total, (1 - min_overlap) * area, -1)
    both_outward = (4 * min_overlap, -2 * min_overlap * total, (min_overlap - 1) * area, 1)
    roots = []
    for a, b, c, sign in (one_each_way, both_inward, both_outward):
        root = (b * b - 4 * a * c) ** 0.5  # never negative: b^2 - 4ac >= (height - width)^2
        roots.append((b + sign * root) / (2 * a) if mode == 'exact' else (b + root) / 2)
    return roots


class Gaussians(NamedTuple):
    """Heat maps before they are drawn: one Gaussian per box; where Gaussians of a class overlap the maximum counts.

    The value is exp(-(dx^2 + dy^2) / (2 sigma^2)), sigma = (2r + 1) / 6, inside |dx|, |dy| <= r, so the keypoint's own
    cell is exactly 1 (CornerNet, section 3.1).
    """

    shape: tuple[int, int, int, int]  # B, C, H, W
    cells: Tensor  # (B, N, 2) int64 (x, y) inside the map
    radius: Tensor  # (B, N) int64 in cells
    labels: Tensor  # (B, N) int64 in [0, C)
    valid: Tensor  # (B, N) bool; others are not drawn
    max_radius: int  # upper bound of the radius, known on the host


def draw(gaussians: Gaussians, cells_at_once: int = WINDOW_CELLS_AT_ONCE) -> Tensor:
    """The heat maps, (B, C, H, W) float32; ``cells_at_once`` as of :func:`windows`."""
    heatmap = torch.zeros(gaussians.shape, device=gaussians.cells.device)
    for index, value in windows(gaussians, cells_at_once):
        heatmap.view(-1).scatter_reduce_(0, index, value, reduce='amax')
    return heatmap


def windows(gaussians: Gaussians, cells_at_once: int = WINDOW_CELLS_AT_ONCE) -> Iterator[tuple[Tensor, Tensor]]:
    """Flat indices and values of the cells around the boxes, some boxes at once; 0 outside the radius.

    Every box gets a window of the same size: no size is read from the device, and the number of kernels does not depend
    on the number of boxes (up to ``cells_at_once`` window cells, which bounds the memory).
    """
    batch, boxes = gaussians.radius.shape
    parts = 1 + (2 * gaussians.max_radius + 1) ** 2 * batch * boxes // cells_at_once
    at_once = -(-boxes // parts)
    for part in range(parts):
        yield _window(gaussians, slice(part * at_once, (part + 1) * at_once))


def _window(gaussians: Gaussians, part: slice) -> tuple[Tensor, Tensor]:
    batch, classes, height, width = gaussians.shape
    cells, radius, valid = gaussians.cells[:, part], gaussians.radius[:, part], gaussians.valid[:, part]
    step = torch.arange(-gaussians.max_radius, gaussians.max_radius + 1, device=cells.device)  # (K,)
    inside_window = (step.abs() <= radius[..., None]) & valid[..., None]  # (B, N, K)
    two_sigma_squared = 2 * ((2 * radius + 1) / SIGMAS_PER_DIAMETER) ** 2  # (B, N)
    profile = torch.exp(-(step**2) / two_sigma_squared[..., None]) * inside_window  # (B, N, K)
    x, y = cells[..., :1] + step, cells[..., 1:] + step  # (B, N, K)
    along_x = profile * ((x >= 0) & (x < width))
    along_y = profile * ((y >= 0) & (y < height))
    image = torch.arange(batch, device=cells.device)[:, None]
    plane = (image * classes + gaussians.labels[:, part]) * height  # (B, N): its row 0
    rows = (plane[..., None] + y.clamp(0, height - 1)) * width  # (B, N, K)
    index = rows[..., :, None] + x.clamp(0, width - 1)[..., None, :]  # (B, N, K, K)
    return index.flatten(), (along_y[..., :, None] * along_x[..., None, :]).flatten()
