"""Peaks of heat maps: local maxima and the best of them.

Shape legend: B images, C classes, H x W cells, K peaks.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import map_blocks, reads_are_free
from .topk import best_of

ROWS_PER_PEAK = 8  # rows looked at for each wanted peak: a peak raises the rows beside it too


class Peaks(NamedTuple):
    """The best peaks of each image, best first."""

    logits: Tensor  # (B, K) float32, -inf where there is no peak
    labels: Tensor  # (B, K) int64
    cells: Tensor  # (B, K) int64, y * W + x


def is_peak(heat: Tensor, kernel: int) -> Tensor:
    """Cells that are the maximum of their window; of equal cells the first (row by row) wins.

    So a plateau, as saturated half-precision scores make it, gives one peak. NaN and -inf are never a peak.

    Args:
        heat: (B, C, H, W) scores or logits.
        kernel: Window width in cells, odd.

    Returns:
        (B, C, H, W) bool.

    Raises:
        ValueError: If ``kernel`` is not a positive odd number.
    """
    check_kernel(kernel)
    return _inner_peaks(F.pad(heat, [kernel // 2] * 4, value=-torch.inf), kernel)


def check_kernel(kernel: int) -> None:
    """Raise ``ValueError`` unless a window width is a positive odd number."""
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f'local_maximum_kernel must be a positive odd number, but got {kernel}')


def _inner_peaks(padded: Tensor, kernel: int) -> Tensor:
    """Peaks of the inner part of (..., H + 2 reach, W + 2 reach): (..., H, W) bool."""
    reach = kernel // 2
    height, width = padded.shape[-2] - 2 * reach, padded.shape[-1] - 2 * reach
    heat = padded[..., reach : reach + height, reach : reach + width]
    rows = [padded[..., shift : shift + width] for shift in range(kernel)]  # left to right
    row_max = _maximum(rows)  # (..., H + 2 reach, W)
    own_row = slice(reach, reach + height)
    peak = heat > -torch.inf
    for shift in range(kernel):
        # row by row and left to right: against earlier cells strictly, so that the first of equals wins
        if shift < reach:
            peak &= heat > row_max[..., shift : shift + height, :]
            peak &= heat > rows[shift][..., own_row, :]
        elif shift > reach:
            peak &= heat >= row_max[..., shift : shift + height, :]
            peak &= heat >= rows[shift][..., own_row, :]
    return peak


def _maximum(tensors: list[Tensor]) -> Tensor:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = torch.maximum(result, tensor)
    return result


def top_peaks(heat: Tensor, k: int, kernel: int, valid_cells: Tensor | None = None) -> Peaks:
    """The ``k`` best peaks of each image over all classes.

    Args:
        heat: (B, C, H, W) logits.
        k: Number of peaks; at most C * H * W are returned.
        kernel: Window of :func:`is_peak` in cells.
        valid_cells: (B, 1, H, W) bool; other cells neither are peaks nor suppress any. None for all.

    Returns:
        The peaks, best first, equal ones by class and cell.
    """
    check_kernel(kernel)
    if reads_are_free(heat.device):
        found = _peaks_of_best_rows(heat, k, kernel, valid_cells)
        if found is not None:
            return found
    return _peaks_of_all(heat, k, kernel, valid_cells)


def _peaks_of_all(heat: Tensor, k: int, kernel: int, valid_cells: Tensor | None) -> Peaks:
    scores = torch.empty(heat.shape, dtype=torch.float32, device=heat.device)
    for block in map_blocks(heat.shape, heat.device):
        part = _masked(heat[block], None if valid_cells is None else valid_cells[block[0]])
        scores[block] = part.masked_fill(~is_peak(part, kernel), -torch.inf)
    index = torch.arange(math.prod(heat.shape[1:]), device=heat.device)
    return _peaks(scores.flatten(1), index, k, heat.shape[2] * heat.shape[3])


def _peaks_of_best_rows(heat: Tensor, k: int, kernel: int, valid_cells: Tensor | None) -> Peaks | None:
    """The same from the rows of highest maximum alone; None where another row might hold one of the best peaks."""
    batch, classes, height, width = heat.shape
    num_rows = ROWS_PER_PEAK * k
    if num_rows >= classes * height or not batch:
        return None
    row_max = torch.empty(batch, classes, height)
    for block in map_blocks(heat.shape, heat.device):
        part = _masked(heat[block], None if valid_cells is None else valid_cells[block[0]])
        row_max[block] = part.amax(-1)
    highest, rows = row_max.flatten(1).topk(num_rows + 1)  # (B, R + 1)
    rows = rows[:, :-1]
    near = torch.arange(kernel) - kernel // 2
    y = rows[..., None] % height + near  # (B, R, kernel)
    inside = (y >= 0) & (y < height)
    image = torch.arange(batch)[:, None, None]
    window = heat.flatten(1, 2)[image, torch.where(inside, rows[..., None] + near, 0)].float()  # (B, R, kernel, W)
    window.masked_fill_(~inside[..., None], -torch.inf)
    if valid_cells is not None:
        window.masked_fill_(~valid_cells[:, 0][image, y.clamp(0, height - 1)], -torch.inf)
    peak = _inner_peaks(F.pad(window, (kernel // 2, kernel // 2), value=-torch.inf), kernel)  # (B, R, 1, W)
    scores = window[:, :, kernel // 2].masked_fill(~peak[:, :, 0], -torch.inf)  # (B, R, W)
    index = rows[..., None] * width + torch.arange(width)  # (B, R, W) in (C, H, W)
    peaks = _peaks(scores.flatten(1), index.flatten(1), k, height * width)
    clear = peaks.logits[:, -1] > highest[:, -1]
    return peaks if bool(clear.all()) else None


def _masked(heat: Tensor, valid_cells: Tensor | None) -> Tensor:
    return heat.float() if valid_cells is None else heat.float().masked_fill(~valid_cells, -torch.inf)


def _peaks(scores: Tensor, index: Tensor, k: int, cells: int) -> Peaks:
    logits, index = best_of(scores, index, k)
    return Peaks(logits, index // cells, index % cells)


def gather_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Read a (B, D, H, W) map at flat cells (B, K): (B, K, D)."""
    flat = maps.flatten(2)  # (B, D, H*W)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
