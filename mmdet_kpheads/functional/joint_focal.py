"""The negative loss of AutoAssign, from logits.

Source: AutoAssign, arXiv 2007.03496, section 3.3: with P = sigmoid(class) * sigmoid(objectness) and weight w,

    (w P)^2 * -log(1 - w P)

1 - w P is taken as (1 - w) + w (sigmoid(-class) + sigmoid(class) sigmoid(-objectness)), which loses nothing where P is
near 1: no logarithm of 0, and a saturated point keeps its gradient.

Shape legend: B images, C classes, T points.
"""

import torch
from torch import Tensor

from .blocks import map_blocks
from .one_pass import one_pass_sum

TINY = torch.finfo(torch.float32).tiny


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
    for block in map_blocks(class_logits.shape, class_logits.device):
        images, _ = block
        loss, class_slope[block], shared = _block_sum(class_logits[block], objectness_logits[images], weight[block])
        total += loss
        objectness_slope[images] += shared
    return total, class_slope, objectness_slope


def _block_sum(class_logits: Tensor, objectness_logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of the loss over a block, its slope by class logit, and that by objectness logit (summed over classes).

    With q = w P and l = -log(1 - q): slope by q is 2 q l + q^2 / (1 - q), and q' = q sigmoid(-logit) for both logits.
    """
    class_ = class_logits.float().sigmoid()
    object_ = objectness_logits.float().sigmoid()
    class_miss, object_miss = (-class_logits.float()).sigmoid(), (-objectness_logits.float()).sigmoid()
    hit = class_ * object_ * weight
    miss = torch.addcmul(class_miss, class_, object_miss).mul_(weight).add_(1 - weight).clamp_(min=TINY)
    log_miss = miss.log()
    square = hit * hit
    slope = square.mul(hit).div_(miss).addcmul_(square, log_miss, value=-2)  # by log q
    return -torch.dot(square.flatten(), log_miss.flatten()), slope * class_miss, (slope * object_miss).sum(1, True)
