"""Which of several boxes counts: an order that is theirs alone, and the first of those that compete.

Shape legend: B images, N boxes.
"""

import torch
from torch import Tensor


def smaller_first(boxes: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Order of the boxes of each image: smaller area first, then x1, y1, x2 and label; invalid ones last.

    It does not depend on the order of the input, except between equal boxes and between invalid ones.

    Args:
        boxes: (B, N, 4) xyxy.
        labels: (B, N).
        valid: (B, N) bool.

    Returns:
        (B, N) int64 indices.
    """
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    area = torch.where(valid, width * height, torch.inf)
    order = labels.argsort(dim=1, stable=True)
    for key in (boxes[..., 2], boxes[..., 1], boxes[..., 0], area):  # the last sort decides first
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return order


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
