"""The best cells of maps, in an order that is the same on every device.

Shape legend: B images, R rows, W cells per row, M cells.
"""

import torch
from torch import Tensor

INDEX_BITS = 0xFFFFFFFF


def top_cells(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best cells of each image, best first; of equal ones that of the lowest index.

    The best cells are in the ``k`` rows with the best maximum, so only those rows are searched.

    Args:
        scores: (B, ..., W).
        k: Cells; at most all there are.

    Returns:
        Scores (B, K) float32 and flat indices (B, K).
    """
    rows = scores.flatten(1, -2)  # (B, R, W)
    width = rows.shape[-1]
    if k < rows.shape[1]:
        _, best_rows = best_of(rows.amax(-1).float(), _numbers(rows, rows.shape[1]), k)  # (B, k)
        rows = rows.gather(1, best_rows[..., None].expand(-1, -1, width))
        index = best_rows[..., None] * width + _numbers(rows, width)  # (B, k, W)
        return best_of(rows.flatten(1).float(), index.flatten(1), k)
    return best_of(rows.flatten(1).float(), _numbers(rows, rows.shape[1] * width), k)


def by_falling_score(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B, M) sorted, best first, and their indices; of equal ones the lowest index first."""
    ordered, index = scores.sort(dim=1, descending=True, stable=True)
    return ordered, index


def best_of(scores: Tensor, index: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best scores (B, M), best first; of equal ones that of the lowest index (M,) or (B, M).

    Each pair becomes one integer: the bits of the score, in the order of their values, above those of the index.

    Returns:
        Scores (B, K) float32 and indices (B, K).
    """
    bits = (scores + 0.0).view(torch.int32).long()  # -0.0 becomes 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    key = (ordered << 32) + (INDEX_BITS - index)
    best = key.topk(min(k, key.shape[1])).values  # (B, K)
    index = INDEX_BITS - (best & INDEX_BITS)
    bits = best >> 32
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).int().view(torch.float32), index


def _numbers(like: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=like.device)
