"""Versions that file formats can hold: no bit casts, no running maximum, no size that the data decides.

Chosen with ``backend='export'``, which ``mmdet_kpheads.deploy`` sets. They are for decoding, and have no gradients.

Shape legend: B images, C classes, H x W cells.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.peaks import Peaks, is_peak, masked
from ..ops.corner_pool import DIRECTIONS


def top_cells(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``k`` rows for every size of the map: filler with a score of -inf and the index 0 where there are fewer cells.

    Of equal scores the order is that of the runtime: ONNX prescribes the lowest index first.
    """
    padded = F.pad(scores.flatten(1).float(), (0, k), value=-torch.inf)
    best, index = padded.topk(k)
    return best, index.where(best > -torch.inf, 0)


def by_falling_score(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Of equal scores the order is that of the runtime."""
    ordered, index = scores.sort(dim=1, descending=True)
    return ordered, index


def top_peaks(heatmap: Tensor, k: int, kernel: int, valid_cells: Tensor | None = None) -> Peaks:
    """The formula over :func:`top_cells`."""
    heatmap = masked(heatmap, valid_cells)
    logits, index = top_cells(heatmap.masked_fill(~is_peak(heatmap, kernel), -torch.inf), k)
    cells = heatmap.shape[2] * heatmap.shape[3]
    return Peaks(logits, index // cells, index % cells)


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """The maximum over 2, 4, 8, ... cells, up to the size that the map has while the graph is recorded."""
    axis, from_end = DIRECTIONS[direction]
    size, shift = x.shape[axis], 1
    while shift < size:
        before, after = (0, shift) if from_end else (shift, 0)
        padding = (0, 0) * (x.dim() - 1 - axis) + (before, after)
        moved = F.pad(x, padding, value=torch.finfo(x.dtype).min).narrow(axis, after, size)
        x, shift = torch.maximum(x, moved), 2 * shift
    return x


def between(first: Tensor, second: Tensor, p: float) -> Tensor:
    """By differences of all pairs: ONNX has no cdist, and what exporters make of it adds 1e-6."""
    apart = (first[..., :, None, :] - second[..., None, :, :]).abs()
    return apart.sum(-1) if p == 1 else apart.pow(p).sum(-1).pow(1 / p)


VERSIONS: dict[str, Callable[..., Any]] = {
    'top_cells': top_cells,
    'by_falling_score': by_falling_score,
    'top_peaks': top_peaks,
    'between': between,
    'corner_pool': corner_pool,
}
