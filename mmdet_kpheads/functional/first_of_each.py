"""The first of several equal keys, for a whole batch and without a loop."""

import torch
from torch import Tensor


def first_of_each(keys: Tensor, valid: Tensor) -> Tensor:
    """Mark, in every row, the first valid entry of each distinct key.

    Args:
        keys: (B, N) non-negative integers.
        valid: (B, N) bool; invalid entries are never marked and never shadow another.

    Returns:
        (B, N) bool.
    """
    keys = torch.where(valid, keys, -1)
    ordered, order = keys.sort(dim=1, stable=True)
    first = torch.ones_like(valid)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.zeros_like(valid).scatter(1, order, first) & valid
