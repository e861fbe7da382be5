"""Peaks of heat maps: local maxima and the best of them.

Shape legend: B images, C classes, H x W cells, K peaks.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .topk import top_cells


class Peaks(NamedTuple):
    """The best peaks of each image, best first."""

    logits: Tensor  # (B, K) float32, -inf where there is no peak
    labels: Tensor  # (B, K) int64
    cells: Tensor  # (B, K) int64, y * W + x


def is_peak(heatmap: Tensor, kernel: int) -> Tensor:
    """Cells that are the maximum of their window; of equal cells the first (row by row) wins.

    So a plateau, which saturated half-precision scores form, gives one peak. NaN and -inf are never a peak.

    Args:
        heatmap: (..., H, W) scores or logits.
        kernel: Window width in cells, odd.

    Returns:
        (..., H, W) bool.

    Raises:
        ValueError: If ``kernel`` is not a positive odd number.
    """
    check_kernel(kernel)
    return inner_peaks(F.pad(heatmap, [kernel // 2] * 4, value=-torch.inf), kernel)


def check_kernel(kernel: int) -> None:
    """Raise ``ValueError`` unless a window width is a positive odd number."""
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f'local_maximum_kernel must be a positive odd number, but got {kernel}')


def inner_peaks(padded: Tensor, kernel: int) -> Tensor:
    """Peaks of the inner part of (..., H + 2 reach, W + 2 reach): (..., H, W) bool."""
    reach = kernel // 2
    height, width = padded.shape[-2] - 2 * reach, padded.shape[-1] - 2 * reach
    heat = padded[..., reach : reach + height, reach : reach + width]
    rows = [padded[..., shift : shift + width] for shift in range(kernel)]  # left to right
    row_max = rows[0]  # (..., H + 2 reach, W)
    for row in rows[1:]:
        row_max = torch.maximum(row_max, row)
    own_row = slice(reach, reach + height)
    peak = heat > -torch.inf
    for shift in range(kernel):
        # row by row and left to right: against earlier cells strictly, so that the first of equals wins
        # (in place for the memory; &= is the same, but ONNX's exporter does not know it)
        if shift < reach:
            peak.logical_and_(heat > row_max[..., shift : shift + height, :])
            peak.logical_and_(heat > rows[shift][..., own_row, :])
        elif shift > reach:
            peak.logical_and_(heat >= row_max[..., shift : shift + height, :])
            peak.logical_and_(heat >= rows[shift][..., own_row, :])
    return peak


def top_peaks(heatmap: Tensor, k: int, kernel: int, valid_cells: Tensor | None = None) -> Peaks:
    """The ``k`` best peaks of each image over all classes.

    Args:
        heatmap: (B, C, H, W) logits.
        k: Number of peaks; at most C * H * W are returned.
        kernel: Window of :func:`is_peak` in cells.
        valid_cells: (B, 1, H, W) bool; other cells neither are peaks nor suppress any. None for all.

    Returns:
        The peaks, best first; of equal ones the lower class, then the lower cell comes first.
    """
    heatmap = masked(heatmap, valid_cells)
    scores = heatmap.masked_fill(~is_peak(heatmap, kernel), -torch.inf)
    logits, index = top_cells(scores, k)
    cells = heatmap.shape[2] * heatmap.shape[3]
    return Peaks(logits, index // cells, index % cells)


def masked(heatmap: Tensor, valid_cells: Tensor | None) -> Tensor:
    """A heat map, -inf at cells that are not valid."""
    return heatmap if valid_cells is None else heatmap.masked_fill(~valid_cells, -torch.inf)


def gather_cells(maps: Tensor, cells: Tensor) -> Tensor:
    """Read a (B, D, H, W) map at flat cells (B, K): (B, K, D)."""
    flat = maps.flatten(2)  # (B, D, H*W)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
