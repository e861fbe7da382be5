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

from .blocks import map_blocks, reads_are_free
from .fusion import Fused
from .gaussian import Gaussians, nonzero_cells
from .one_pass import one_pass_sum

LOG1P_LIMIT = 4.0  # above it softplus(z) = -log1p(-sigmoid(z)) loses more than 1e-6, for sigmoid(z) is too near to 1


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
    target: Tensor | Gaussians,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
    factor: Tensor | float = 1.0,
) -> Tensor:
    """Sum of :func:`gaussian_focal_loss` times ``factor``, with value and gradient made in one pass over the logits.

    On a CPU every cell is first taken as background; then the few cells under a Gaussian are corrected.

    Args:
        logits: (B, C, H, W) heat-map logits.
        target: (B, C, H, W), or the Gaussians before they are drawn.
        weight: As of :func:`gaussian_focal_loss`, and so are the next four.
        alpha: Power of the prediction.
        gamma: Power of the target's complement at other cells.
        pos_weight: Weight of keypoints.
        neg_weight: Weight of the other cells.
        factor: Factor of the sum, without a gradient.

    Returns:
        Scalar.
    """
    powers = (alpha, gamma, pos_weight, neg_weight)
    if reads_are_free(logits.device):
        return one_pass_sum(lambda x: _background_and_corrections(x, target, weight, *powers, float(factor)), logits)
    dense = target.dense() if isinstance(target, Gaussians) else target
    if torch.compiler.is_compiling():  # the compiler fuses the plain formula by itself
        return gaussian_focal_loss(logits, dense, weight, *powers).sum() * factor
    return one_pass_sum(lambda x: _whole_map(x, dense, weight, *powers, factor), logits)


@Fused
def _whole_map(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    alpha: float,
    gamma: float,
    pos_weight: float,
    neg_weight: float,
    factor: Tensor | float,
) -> tuple[Tensor, Tensor]:
    """Sum and gradient over a dense target."""
    keypoint = target == 1
    scale = _cell_weight(keypoint, target, weight, gamma, pos_weight, neg_weight) * factor
    loss, slope = _signed_loss(_widened(logits), keypoint, scale.to(_widened(logits).dtype), alpha)
    return loss.sum(), slope


def _background_and_corrections(
    logits: Tensor,
    target: Tensor | Gaussians,
    weight: Tensor | None,
    alpha: float,
    gamma: float,
    pos_weight: float,
    neg_weight: float,
    factor: float,
) -> tuple[Tensor, Tensor]:
    """Sum and gradient: every cell as background, and then the U cells where the target is not 0."""
    gradient = torch.empty(logits.shape, dtype=_widened(logits[:0]).dtype)
    index, value = target.sparse(gradient) if isinstance(target, Gaussians) else nonzero_cells(target)
    total = gradient.new_zeros(())
    scratch: list[Tensor] = []
    for block in map_blocks(logits.shape, logits.device):
        block_weight = None if weight is None else weight.expand(logits.shape)[block]
        slope = gradient[block]
        if not scratch or scratch[0].shape != slope.shape:
            scratch = [torch.empty_like(slope) for _ in range(2)]
        total += _background(logits[block], alpha, neg_weight * factor, block_weight, slope, scratch)

    z, value = logits.take(index).to(gradient.dtype), value.to(gradient.dtype)
    keypoint = value == 1
    cell_weight = None if weight is None else weight.expand(logits.shape).take(index).to(gradient.dtype)
    scale = _cell_weight(keypoint, value, cell_weight, gamma, pos_weight, neg_weight) * factor
    loss, slope = _signed_loss(z, keypoint, scale, alpha)
    background = neg_weight * factor * _power(z.sigmoid(), alpha) * F.softplus(z)
    if cell_weight is not None:
        background = background * cell_weight
    gradient.view(-1).scatter_(0, index, slope)
    return total + (loss - background).sum(), gradient


def _background(
    logits: Tensor, alpha: float, factor: float, weight: Tensor | None, gradient: Tensor, scratch: list[Tensor]
) -> Tensor:
    """Sum over a block without keypoints; its gradient goes to ``gradient``.

    With s = sigmoid(z), a = s^alpha and r = a softplus(z): f = r, f' = alpha r + s (a - alpha r). Every step writes
    to ``scratch``, two maps of the block's shape: memory that is new at each block would cost more than the arithmetic.
    """
    z = _widened(logits)
    s = torch.sigmoid(z, out=gradient)
    minus_r = torch.neg(s, out=scratch[0]).log1p_()  # -softplus(z)
    if z.max() > LOG1P_LIMIT:
        large = (z > LOG1P_LIMIT).nonzero(as_tuple=True)
        minus_r[large] = -F.softplus(z[large])
    a = torch.mul(s, s, out=scratch[1]) if alpha == 2 else torch.pow(s, alpha, out=scratch[1])
    a *= factor
    if weight is not None:
        a *= weight
    minus_r *= a
    gradient.mul_(a.add_(minus_r, alpha=alpha)).sub_(minus_r, alpha=alpha)
    return -minus_r.sum()


def _signed_loss(z: Tensor, keypoint: Tensor, scale: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Loss and gradient of cells of both kinds: f'(z) = s^alpha (alpha (1 - s) softplus(z) + s), z signed."""
    sign = torch.where(keypoint, -1.0, 1.0)
    z = z * sign
    s, softplus = z.sigmoid(), F.softplus(z)
    scale = scale * _power(s, alpha)
    slope = torch.addcmul(s, 1 - s, softplus, value=alpha).mul_(scale).mul_(sign)
    return scale * softplus, slope


def _cell_weight(
    keypoint: Tensor, target: Tensor, weight: Tensor | None, gamma: float, pos_weight: float, neg_weight: float
) -> Tensor:
    cell_weight = _power(1 - _widened(target), gamma)
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
