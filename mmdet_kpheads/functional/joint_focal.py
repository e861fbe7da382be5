"""The negative loss of AutoAssign, from logits.

Source: AutoAssign, arXiv 2007.03496, section 3.3: with P = sigmoid(class) * sigmoid(objectness) and weight w,

    (w P)^2 * -log(1 - w P)

Where w P is near 1, the logarithm of 1 - w P is taken from those of sigmoid(-class) and sigmoid(-objectness), without
the difference: no logarithm of 0, and a saturated point keeps its gradient.

Shape legend: B images, C classes, T points.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .blocks import map_blocks, reads_are_free
from .fusion import Fused
from .one_pass import one_pass_sum_and_values

NEAR_ONE = 0.9  # above it the difference 1 - q loses more than 1e-6


def joint_focal_loss(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> Tensor:
    """Negative loss of every point and class, in float32.

    Args:
        class_logits: (B, C, T).
        objectness_logits: (B, 1, T).
        weight: (B, C, T) in [0, 1].

    Returns:
        (B, C, T) loss.
    """
    x, y = class_logits.float(), objectness_logits.float()
    return (weight * x.sigmoid() * y.sigmoid()) ** 2 * -_log_miss(x, y, weight)


def _log_miss(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Logarithm of 1 - w P, for any logits."""
    background = torch.logaddexp(logsigmoid(-x), logsigmoid(x) + logsigmoid(-y))  # of 1 - P
    return torch.logaddexp((1 - weight).log(), weight.log() + background)


def _loss_and_slopes(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and its slopes by both logits, for any logits.

    With q = w P and l = log(1 - q): the slope by log q is q^2 (q / (1 - q) - 2 l), and (log q)' = sigmoid(-logit).
    """
    q, log_miss = weight * x.sigmoid() * y.sigmoid(), _log_miss(x, y, weight)
    by_x, by_y = (
        q**3 * torch.exp(logsigmoid(-logit) - log_miss) - 2 * q**2 * log_miss * (-logit).sigmoid() for logit in (x, y)
    )
    return q**2 * -log_miss, by_x, by_y


class SparseWeight(NamedTuple):
    """A weight of 1, but at some cells; where a cell comes more than once its smallest weight counts."""

    cells: Tensor  # (P,) int64 into the flat (B, C, T) map
    values: Tensor  # (P,) in [0, 1]
    ignored: Tensor | None = None  # (B, T) bool: points with weight 0 for every class

    def dense(self, like: Tensor) -> Tensor:
        """A float32 map of the shape of ``like`` (B, C, T)."""
        weight = torch.ones_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
        weight.view(-1).scatter_reduce_(0, self.cells, self.values, 'amin')
        return weight if self.ignored is None else weight.masked_fill_(self.ignored[:, None], 0)


def joint_focal_sum(class_logits: Tensor, objectness_logits: Tensor, weight: SparseWeight) -> tuple[Tensor, Tensor]:
    """Sum of :func:`joint_focal_loss`, value and gradients made in one pass; the weight gets no gradient.

    The positive loss reads the class logits at the cells of the weight. They are returned here, since their gradient
    then needs no map of its own.

    Args:
        class_logits: (B, C, T).
        objectness_logits: (B, 1, T).
        weight: Of every point and class.

    Returns:
        Scalar sum, and the class logits at ``weight.cells``, (P,) float32.
    """
    if torch.compiler.is_compiling():  # the compiler fuses the plain formula by itself
        total = joint_focal_loss(class_logits, objectness_logits, weight.dense(class_logits)).sum()
        return total, class_logits.flatten().index_select(0, weight.cells).float()
    compute = _blocks if reads_are_free(class_logits.device) else _whole_map
    return one_pass_sum_and_values(
        lambda x, y: compute(x, y, weight.dense(x)), weight.cells, class_logits, objectness_logits
    )


@Fused
def _whole_map(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum and both gradients, all points and classes at once."""
    loss, class_slope, objectness_slope = _loss_and_slopes(class_logits.float(), objectness_logits.float(), weight)
    return loss.sum(), class_slope, objectness_slope.sum(1, True)


def _blocks(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum and both gradients, block by block. The gradient by the class logits takes the place of the weight."""
    class_slope = weight
    objectness_slope = torch.zeros_like(objectness_logits, dtype=torch.float32)
    total = class_slope.new_zeros(())
    scratch: list[Tensor] = []
    for block in map_blocks(class_logits.shape, class_logits.device):
        images, _ = block
        if not scratch or scratch[0].shape != class_slope[block].shape:
            scratch = [torch.empty_like(class_slope[block]) for _ in range(3)]
        logits, objectness = class_logits[block].float(), objectness_logits[images].float()
        loss, shared = _block_sum(logits, objectness, class_slope[block], scratch)
        total += loss
        objectness_slope[images] += shared
    return total, class_slope, objectness_slope


def _block_sum(
    class_logits: Tensor, objectness_logits: Tensor, weight: Tensor, scratch: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Sum of the loss over a block and its slope by objectness logit; that by class logit goes to ``weight``.

    As :func:`_loss_and_slopes`, which is used where q is near 1; where it is tiny, the rounding of 1 - q is far below a
    loss of q^3. Every step writes to ``weight`` or to one of three
    maps of ``scratch``: memory that is new at each block would cost more than the arithmetic.
    """
    class_ = torch.sigmoid(class_logits, out=scratch[0])
    hit = torch.mul(class_, objectness_logits.sigmoid(), out=scratch[1]).mul_(weight)
    near: tuple[Tensor, ...] | None = None
    if hit.max() > NEAR_ONE:
        near = (hit > NEAR_ONE).nonzero(as_tuple=True)
        everywhere = (class_logits, objectness_logits.expand_as(hit), weight)
        near_loss, near_class_slope, near_objectness_slope = _loss_and_slopes(*(value[near] for value in everywhere))
        hit[near] = 0
    miss = torch.sub(hit.new_ones(()), hit, out=scratch[2])
    log_miss = torch.log(miss, out=weight)
    ratio = torch.div(hit, miss, out=miss)
    square = hit.mul_(hit)
    loss = -torch.dot(square.flatten(), log_miss.flatten())
    slope = ratio.sub_(log_miss, alpha=2).mul_(square)
    class_slope = torch.addcmul(slope, slope, class_, value=-1, out=weight)  # sigmoid(-x) = 1 - sigmoid(x)
    if near is None:
        return loss, slope.sum(1, True) * (-objectness_logits).sigmoid()
    class_slope[near] = near_class_slope
    objectness_slope = slope.mul_((-objectness_logits).sigmoid())
    objectness_slope[near] = near_objectness_slope
    return loss + near_loss.sum(), objectness_slope.sum(1, True)
