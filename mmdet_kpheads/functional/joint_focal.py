"""The negative loss of AutoAssign, from logits.

Source: AutoAssign, arXiv 2007.03496, section 3.3: with P = sigmoid(class) * sigmoid(objectness) and weight w,

    (w P)^2 * -log(1 - w P)

The logarithm of 1 - w P comes from those of sigmoid(-class) and sigmoid(-objectness), without the difference: there is
no logarithm of 0, and a saturated point keeps its gradient.

Shape legend: B images, C classes, T grid points, P (object, grid point) pairs.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


class SparseWeight(NamedTuple):
    """A weight that is 1 except at some cells; where a cell comes more than once its smallest value counts."""

    cells: Tensor  # (P,) int64 into the flat (B, C, T) map
    values: Tensor  # (P,) in [0, 1]
    ignored: Tensor | None = None  # (B, T) bool: grid points with weight 0 for every class

    def dense(self, like: Tensor) -> Tensor:
        """A float32 map of the shape of ``like`` (B, C, T)."""
        weight = torch.ones_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
        weight.view(-1).scatter_reduce_(0, self.cells, self.values, 'amin')
        return weight if self.ignored is None else weight.masked_fill_(self.ignored[:, None], 0)


def joint_focal_loss(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Negative loss of every grid point and class, in float32.

    Args:
        class_logits: (B, C, T).
        objectness_logits: (B, 1, T).
        weight: (B, C, T) in [0, 1]; None for 1.

    Returns:
        (B, C, T) loss.
    """
    x, y = class_logits.float(), objectness_logits.float()
    log_miss_of_joint = torch.logaddexp(logsigmoid(-x), logsigmoid(x) + logsigmoid(-y))  # log(1 - P)
    if weight is None:
        return (x.sigmoid() * y.sigmoid()) ** 2 * -log_miss_of_joint
    log_miss = torch.logaddexp((1 - weight).log(), weight.log() + log_miss_of_joint)  # log(1 - w P)
    return (weight * x.sigmoid() * y.sigmoid()) ** 2 * -log_miss


def joint_focal_sum(class_logits: Tensor, objectness_logits: Tensor, weight: SparseWeight) -> tuple[Tensor, Tensor]:
    """Sum of :func:`joint_focal_loss`, and the class logits at the cells of the weight.

    The positive loss reads those logits. Both come from one function, so that a kernel can add their gradients in one
    map.

    Args:
        class_logits: (B, C, T).
        objectness_logits: (B, 1, T).
        weight: Of every grid point and class; without a gradient.

    Returns:
        Scalar, and (P,) float32.
    """
    logits = class_logits.float()  # once: the gradients of both results are added before they are rounded
    total = joint_focal_sum_of_map(logits, objectness_logits, weight.dense(logits))
    return total, logits.flatten().index_select(0, weight.cells)


def joint_focal_sum_of_map(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sum of :func:`joint_focal_loss`, a scalar."""
    # over classes first: Inductor then fuses the loss with the sum, where it would store a map and read it again
    return joint_focal_loss(class_logits, objectness_logits, weight).sum(1).sum()
