"""The focal loss of Gaussian heat maps, from logits.

Source: CornerNet, arXiv 1808.01244, equation 1; CenterNet, arXiv 1904.07850, equation 1. With p = sigmoid(x):

    Y = 1:  -(1 - p)^alpha log(p)          else:  -(1 - Y)^gamma p^alpha log(1 - p)

Both cases are one function of a signed logit z (z = -x at a keypoint, z = x elsewhere):
f(z) = sigmoid(z)^alpha softplus(z), weighted by 1 or by (1 - Y)^gamma.

Shape legend: B images, C classes, H x W cells.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .distances import widened
from .gaussian import Gaussians, draw


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

    Example:
        >>> gaussian_focal_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.5]]]]))
        tensor([[[[0.1733, 0.0108]]]])
    """
    keypoint = target == 1
    z = widened(logits)
    z = torch.where(keypoint, -z, z)
    cell_weight = torch.where(keypoint, pos_weight, neg_weight * power(1 - widened(target), gamma))
    if weight is not None:
        cell_weight = cell_weight * weight
    return cell_weight.to(z.dtype) * power(z.sigmoid(), alpha) * F.softplus(z)


def gaussian_focal_sum(
    logits: Tensor,
    target: Tensor | Gaussians,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
    factor: Tensor | float = 1.0,
) -> Tensor:
    """Sum of :func:`gaussian_focal_loss` times ``factor``, a scalar.

    Args:
        logits: (B, C, H, W) heat-map logits.
        target: (B, C, H, W), or the Gaussians before they are drawn.
        weight: As of :func:`gaussian_focal_loss`, and so are the next four.
        alpha: Power of the prediction.
        gamma: Power of the target's complement at other cells.
        pos_weight: Weight of keypoints.
        neg_weight: Weight of the other cells.
        factor: Factor of the sum, without a gradient.
    """
    dense = draw(target) if isinstance(target, Gaussians) else target
    return gaussian_focal_loss(logits, dense, weight, alpha, gamma, pos_weight, neg_weight).sum() * factor


def power(base: Tensor, exponent: float) -> Tensor:
    """``base ** exponent``; the published 2 and 4 as products, which are several times faster."""
    if exponent == 2:
        return base * base
    if exponent == 4:
        square = base * base
        return square * square
    return base**exponent
