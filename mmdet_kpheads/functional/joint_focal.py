"""The negative loss of AutoAssign, from logits.

Source: AutoAssign, arXiv 2007.03496, section 3.3: with P = sigmoid(class) * sigmoid(objectness) and weight w,

    (w P)^2 * -log(1 - w P)

1 - w P is taken as (1 - w) + w (sigmoid(-class) + sigmoid(class) sigmoid(-objectness)), which loses nothing where P is
near 1: no logarithm of 0, and a saturated point keeps its gradient.

Shape legend: B images, C classes, T points.
"""

import torch
from torch import Tensor

from .blocks import map_blocks, reads_are_free
from .one_pass import one_pass_sum

TINY = torch.finfo(torch.float32).tiny
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
    class_logits, objectness_logits = class_logits.float(), objectness_logits.float()
    object_ = objectness_logits.sigmoid()
    hit = weight * class_logits.sigmoid() * object_
    miss = 1 - weight + weight * ((-class_logits).sigmoid() + class_logits.sigmoid() * (-objectness_logits).sigmoid())
    return hit**2 * -miss.clamp(min=TINY).log()


def joint_focal_sum(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> Tensor:
    """Sum of :func:`joint_focal_loss`, value and gradients made in one pass; the weight gets no gradient.

    Returns:
        Scalar sum.
    """
    if torch.compiler.is_compiling():  # the compiler fuses the plain formula by itself
        return joint_focal_loss(class_logits, objectness_logits, weight).sum()
    return one_pass_sum(lambda x, y: _sum(x, y, weight), class_logits, objectness_logits)


def _sum(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum and both gradients."""
    class_slope = torch.empty_like(class_logits, dtype=torch.float32)
    objectness_slope = torch.zeros_like(objectness_logits, dtype=torch.float32)
    total = class_slope.new_zeros(())
    scratch: list[Tensor] = []
    for block in map_blocks(class_logits.shape, class_logits.device):
        images, _ = block
        if not scratch or scratch[0].shape != class_slope[block].shape:
            scratch = [torch.empty_like(class_slope[block]) for _ in range(3)]
        logits, objectness = class_logits[block].float(), objectness_logits[images].float()
        loss, shared = _block_sum(logits, objectness, weight[block], class_slope[block], scratch)
        total += loss
        objectness_slope[images] += shared
    return total, class_slope, objectness_slope


def _block_sum(
    class_logits: Tensor, objectness_logits: Tensor, weight: Tensor, class_slope: Tensor, scratch: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Sum of the loss over a block and its slope by objectness logit; that by class logit goes to ``class_slope``.

    With q = w P and l = log(1 - q): slope by log q is q^2 (q / (1 - q) - 2 l), and (log q)' = sigmoid(-logit) for
    both logits. Every step writes to ``class_slope`` or to one of three maps of ``scratch``: memory that is new at each
    block would cost more than the arithmetic.
    """
    class_ = torch.sigmoid(class_logits, out=class_slope)
    hit = torch.mul(class_, objectness_logits.sigmoid(), out=scratch[0]).mul_(weight)
    class_miss = class_slope.neg_().add_(1)  # sigmoid(-x) = 1 - sigmoid(x)
    minus_hit = torch.neg(hit, out=scratch[1])
    miss = torch.add(minus_hit, 1, out=scratch[2])
    log_miss = minus_hit.log1p_()
    _correct_near_one(class_logits, objectness_logits, weight, hit, (class_miss, miss, log_miss))
    ratio = torch.div(hit, miss, out=miss)
    square = hit.mul_(hit)
    loss = -torch.dot(square.flatten(), log_miss.flatten())
    slope = ratio.sub_(log_miss, alpha=2).mul_(square)
    class_miss.mul_(slope)
    return loss, slope.sum(1, True) * (-objectness_logits).sigmoid()


def _correct_near_one(
    class_logits: Tensor, objectness_logits: Tensor, weight: Tensor, hit: Tensor, values: tuple[Tensor, ...]
) -> None:
    """Where q is near 1, take sigmoid(-x), 1 - q and its logarithm without a difference; in place."""
    near = hit > NEAR_ONE if not reads_are_free(hit.device) or hit.max() > NEAR_ONE else None
    if near is None:
        return
    cells = near.nonzero(as_tuple=True) if reads_are_free(hit.device) else ...  # elsewhere every cell is worked out
    w, x, y = weight[cells], class_logits[cells], objectness_logits.expand_as(hit)[cells]
    class_miss = (-x).sigmoid()
    miss = (1 - w + w * (class_miss + x.sigmoid() * (-y).sigmoid())).clamp_(min=TINY)
    for value, exact in zip(values, (class_miss, miss, miss.log()), strict=True):
        value[cells] = torch.where(near[cells], exact, value[cells])
