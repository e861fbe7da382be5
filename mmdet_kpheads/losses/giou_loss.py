"""Generalized IoU loss as a module."""

from typing import Any

from mmdet.models.losses import GIoULoss as MMDetGIoULoss
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor

from ..backends import check_backend, version_of
from ..functional.distances import widened
from ..functional.giou import giou_loss
from ..registry import MODELS


@MODELS.register_module()
class GIoULoss(MMDetGIoULoss):
    """1 - GIoU of pairs of boxes, always in float32.

    Source: Generalized Intersection over Union, arXiv 1902.09630.

    Differs from mmdet's loss of the same name in its speed; a weight that is 0 everywhere needs no host-device sync;
    without boxes the loss keeps its graph.

    Args:
        eps: Lower bound of union and enclosing box, in square pixels.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the result.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.

    Example:
        >>> GIoULoss()(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 1.0, 3.0, 3.0]]))
        tensor(1.0794)
    """

    def __init__(
        self, eps: float = 1e-6, reduction: str = 'mean', loss_weight: float = 1.0, backend: str = 'auto'
    ) -> None:
        super().__init__(eps, reduction, loss_weight)
        check_backend(backend)
        self.backend = backend

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: Any = None,
        reduction_override: str | None = None,
    ) -> Tensor:
        """Loss of a batch.

        Args:
            pred: (..., 4) xyxy.
            target: (..., 4) xyxy.
            weight: (...) or (..., 4), whose mean counts; None for 1.
            avg_factor: Divisor of the sum, in place of the number of boxes.
            reduction_override: Used in place of ``reduction``.
        """
        if weight is not None and weight.dim() == pred.dim():
            weight = weight.mean(-1)
        formula = version_of(giou_loss, pred, self.backend)
        loss = formula(widened(pred), widened(target), self.eps)
        reduced: Tensor = weight_reduce_loss(loss, weight, reduction_override or self.reduction, avg_factor)
        return self.loss_weight * reduced
