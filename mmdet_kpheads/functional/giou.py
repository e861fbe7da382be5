"""Generalized IoU loss of pairs of boxes.

Source: Generalized Intersection over Union, arXiv 1902.09630, algorithm 1.
"""

import torch
from torch import Tensor


def giou_loss(predicted: Tensor, boxes: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - GIoU of each pair of boxes; values and gradients of mmdet's GIoULoss.

    With intersection I, union U and enclosing box E: 1 - (I / U - (E - U) / E) = 2 - I / U - U / E.

    Args:
        predicted: (..., 4) xyxy.
        boxes: (..., 4) xyxy, the ground truth.
        eps: Lower bound of U and E, in square units of the boxes.

    Returns:
        (...), in [0, 2].

    Example:
        >>> giou_loss(torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 1.0, 3.0, 3.0]))
        tensor(1.0794)
    """
    x1, y1, x2, y2 = predicted.unbind(-1)
    left, top, right, bottom = boxes.unbind(-1)
    shared_width = (torch.minimum(x2, right) - torch.maximum(x1, left)).clamp(min=0)
    shared_height = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).clamp(min=0)
    intersection = shared_width * shared_height
    union = (x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - intersection
    hull_width = torch.maximum(x2, right) - torch.minimum(x1, left)
    hull_height = torch.maximum(y2, bottom) - torch.minimum(y1, top)
    union, hull = union.clamp(min=eps), (hull_width * hull_height).clamp(min=eps)
    return 2 - intersection / union - union / hull
