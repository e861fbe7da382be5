"""The focal loss of Gaussian heat maps, from logits.

Source: CornerNet, arXiv 1808.01244, equation 1; CenterNet, arXiv 1904.07850, equation 1. With p = sigmoid(x):

    Y = 1:  -(1 - p)^alpha log(p)          else:  -(1 - Y)^gamma p^alpha log(1 - p)

Both cases are one function of a signed logit z (z = -x at a keypoint, z = x elsewhere):
f(z) = sigmoid(z)^alpha softplus(z), weighted by 1 or by (1 - Y)^gamma.

Shape legend: B images, C classes, H x W cells.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import map_blocks


def gaussian_focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
) -> Tensor:
    """Heat-map loss of every cell, in float32 (float64 for float64 logits).

    Differs from mmdet's in that it takes logits: no epsilon is needed and half precision stays finite.

    Args:
        logits: (B, C, H, W) heat-map logits.
        target: (B, C, H, W) in [0, 1]; exactly 1 marks a keypoint.
        weight: Weight of each cell, broadcastable to the logits; None for 1.
        alpha: Power of the prediction.
        gamma: Power of the target's complement at other cells.
        pos_weight: Weight of keypoints.
        neg_weight: Weight of the other cells.

    Returns:
        (B, C, H, W) loss.
    """
    keypoint = target == 1
    z = _widened(logits)
    z = torch.where(keypoint, -z, z)
    cell_weight = _cell_weight(keypoint, target, weight, gamma, pos_weight, neg_weight)
    return cell_weight * _power(z.sigmoid(), alpha) * F.softplus(z)


def gaussian_focal_loss_sum(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
) -> Tensor:
    """Sum of :func:`gaussian_focal_loss` with value and gradient made in one pass over the logits.

    The gradient is written by hand, which saves every intermediate map; it can be taken once, not twice.

    Returns:
        Scalar sum.
    """
    total: Tensor = _FocalSum.apply(logits, target, weight, alpha, gamma, pos_weight, neg_weight)
    return total


class _FocalSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, weight: Tensor | None, *powers: float) -> Tensor:
        gradient = torch.empty_like(logits) if logits.requires_grad else None
        sums = []
        for block in map_blocks(logits.shape, logits.device):
            images, _ = block
            total, slope = _block_sum(logits[block], target[block], None if weight is None else weight[images], *powers)
            sums.append(total)
            if gradient is not None:
                gradient[block] = slope.to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return torch.stack(sums).sum() if sums else logits.new_zeros((), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grads[0].to(gradient.dtype), *[None] * 6)


def _block_sum(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    alpha: float,
    gamma: float,
    pos_weight: float,
    neg_weight: float,
) -> tuple[Tensor, Tensor]:
    """Sum of the loss over a block, and its gradient: f'(z) = s^alpha (alpha (1 - s) softplus(z) + s)."""
    keypoint = target == 1
    sign = torch.where(keypoint, -1.0, 1.0)
    z = _widened(logits) * sign
    probability, softplus = z.sigmoid(), F.softplus(z)
    scale = _cell_weight(keypoint, target, weight, gamma, pos_weight, neg_weight).to(z.dtype)
    scale = scale * _power(probability, alpha)
    slope = torch.addcmul(probability, 1 - probability, softplus, value=alpha).mul_(scale).mul_(sign)
    return torch.dot(scale.flatten(), softplus.flatten()), slope


def _cell_weight(
    keypoint: Tensor, target: Tensor, weight: Tensor | None, gamma: float, pos_weight: float, neg_weight: float
) -> Tensor:
    cell_weight = _power(1 - target, gamma)
    if neg_weight != 1:
        cell_weight = cell_weight * neg_weight
    cell_weight.masked_fill_(keypoint, pos_weight)
    return cell_weight if weight is None else cell_weight * weight


def _power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent``; the published 2 and 4 as products, which are several times faster."""
    if exponent == 2:
        return base * base
    if exponent == 4:
        square = base * base
        return square * square
    return base**exponent


def _widened(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
