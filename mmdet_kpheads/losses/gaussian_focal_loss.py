"""Heat-map loss as a module."""

from torch import Tensor, nn

from ..backends import check_backend, version_of
from ..functional.gaussian import Gaussians, draw
from ..functional.gaussian_focal import gaussian_focal_loss, gaussian_focal_sum
from ..registry import MODELS

REDUCTIONS = ('none', 'mean', 'sum')
FLOAT32_EPS = 1.1920929e-07  # mmdet's weight_reduce_loss adds it to avg_factor; kept for equal numbers


@MODELS.register_module()
class GaussianFocalLoss(nn.Module):
    """Focal loss for Gaussian heat maps, from logits, always in float32.

    Source: CornerNet, arXiv 1808.01244, equation 1.

    Differs from mmdet's loss of the same name: it takes logits instead of probabilities, so it is finite in half
    precision; ``pos_inds`` (CenterNetUpdateHead) is not supported.

    Args:
        alpha: Power of the prediction.
        gamma: Power of the target's complement.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``; with ``avg_factor`` the sum is divided by it.
        loss_weight: Factor of the result.
        pos_weight: Weight of keypoints.
        neg_weight: Weight of all other cells.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.

    Raises:
        ValueError: If ``reduction`` or ``backend`` is unknown.
    """

    from_logits = True  # a head refuses a loss without this mark: mmdet's take probabilities
    takes_gaussians = True  # losses without this mark get the drawn map

    def __init__(
        self,
        alpha: float = 2.0,
        gamma: float = 4.0,
        reduction: str = 'mean',
        loss_weight: float = 1.0,
        pos_weight: float = 1.0,
        neg_weight: float = 1.0,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction must be one of {REDUCTIONS}, but got {reduction!r}')
        check_backend(backend)
        self.alpha = alpha
        self.gamma = gamma
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight
        self.backend = backend

    def forward(
        self,
        pred: Tensor,
        target: Tensor | Gaussians,
        weight: Tensor | None = None,
        avg_factor: Tensor | float | None = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (B, C, H, W) logits.
            target: (B, C, H, W) in [0, 1], exactly 1 at keypoints; or Gaussians, which are not always drawn.
            weight: Weight of each cell, broadcastable; None for 1.
            avg_factor: Divisor of the sum, in place of the number of cells.
            reduction_override: Used in place of ``reduction``.
        """
        reduction = reduction_override or self.reduction
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction must be one of {REDUCTIONS}, but got {reduction!r}')
        if avg_factor is not None and reduction == 'sum':
            raise ValueError("avg_factor cannot be used with reduction 'sum'")
        powers = (self.alpha, self.gamma, self.pos_weight, self.neg_weight)
        if reduction == 'none':
            dense = version_of(draw, pred, self.backend)(target) if isinstance(target, Gaussians) else target
            return self.loss_weight * gaussian_focal_loss(pred, dense, weight, *powers)
        factor: Tensor | float = self.loss_weight
        if reduction == 'mean':
            factor = self.loss_weight / (pred.numel() if avg_factor is None else avg_factor + FLOAT32_EPS)
        formula = version_of(gaussian_focal_sum, pred, self.backend)
        return formula(pred, target, weight, *powers, factor)
