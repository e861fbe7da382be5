"""Peaks of heat maps: local maxima and the best of them.

Shape legend: B images, C classes, H x W cells, K peaks.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import map_blocks


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
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f'local_maximum_kernel must be a positive odd number, but got {kernel}')
    reach = kernel // 2
    height, width = heat.shape[-2:]
    padded = F.pad(heat, [reach] * 4, value=-torch.inf)  # (B, C, H + 2 reach, W + 2 reach)
    rows = [padded[..., shift : shift + width] for shift in range(kernel)]  # left to right
    row_max = _maximum(rows)  # (B, C, H + 2 reach, W)
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
    batch, classes, height, width = heat.shape
    scores = torch.empty(heat.shape, dtype=torch.float32, device=heat.device)
    for block in map_blocks(heat.shape, heat.device):
        part = heat[block].float()
        if valid_cells is not None:
            part = part.masked_fill(~valid_cells[block[0]], -torch.inf)
        scores[block] = part.masked_fill(~is_peak(part, kernel), -torch.inf)
    k = min(k, classes * height * width)
    best, index = scores.view(batch, -1).topk(k)  # (B, K)
    index, by_index = index.sort()
    best, by_score = best.gather(1, by_index).sort(descending=True, stable=True)
    index = index.gather(1, by_score)
    return Peaks(best, index // (height * width), index % (height * width))


def gather_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Read a (B, D, H, W) map at flat cells (B, K): (B, K, D)."""
    flat = maps.flatten(2)  # (B, D, H*W)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
