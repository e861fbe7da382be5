"""Triplet losses with mining inside the batch, as modules."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..functional.distances import Distance, find_distance, widened
from ..functional.triplet import (
    Triplets,
    hard_triplets,
    label_pairs,
    semi_hard_triplets,
    triplet_loss,
    triplet_statistics,
)
from ..registry import MODELS

Miner = Callable[..., Triplets]


class _MinedTripletLoss(nn.Module):
    """Base of both losses; a subclass sets ``mine``.

    After a call, ``statistics`` holds the result of :func:`triplet_statistics` for the log.
    """

    mine: Miner

    def __init__(
        self,
        margin: float = 1.0,
        distance: str | Distance = 'L2',
        loss_weight: float = 1.0,
        tfa_compat: bool = False,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.distance = find_distance(distance)
        self.soft = False
        self.loss_weight = loss_weight
        self.tfa_compat = tfa_compat
        self.statistics: dict[str, Tensor] = {}

    def forward(self, inputs: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
        """Loss of a batch, or of several independent batches at once.

        Args:
            inputs: (M, D) embeddings, or (..., M, D): pairs are made within the last M only.
            targets: (M) or (M, 1) labels, or (..., M).
            valid: (..., M) bool, which embeddings exist; None for all.

        Returns:
            Scalar in float32 (float64 for float64 inputs).

        Raises:
            ValueError: If the targets are not labels of the inputs, or the distance is not a (..., M, M) matrix.
        """
        labels = _labels(targets, inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            embeddings = widened(inputs)
            if valid is not None:
                embeddings = torch.where(valid[..., None], embeddings, 0.0)
            distance = self.distance(embeddings)  # (..., M, M)
            if distance.shape != (*labels.shape, labels.shape[-1]):
                raise ValueError(
                    f'distance must return one number for each of {tuple(labels.shape)} x {labels.shape[-1]} pairs, '
                    f'but returned {tuple(distance.shape)}'
                )
            pairs = label_pairs(labels, valid)
            triplets = type(self).mine(distance, pairs, valid, self.tfa_compat)
            self.statistics = triplet_statistics(distance, pairs, triplets, self.margin)
            return self.loss_weight * triplet_loss(triplets, self.margin, self.soft)


@MODELS.register_module()
class TripletHardLoss(_MinedTripletLoss):
    """Triplet loss of the farthest positive and the nearest negative of each anchor.

    Source: arXiv 1703.07737; argument and result conventions of tensorflow_addons' TripletHardLoss.

    Differs from mmdet's TripletLoss (margin 0.3, L2): anchors without a positive or a negative do not count, where
    mmdet's raises. Differs from tensorflow_addons': the result stays float32 for half-precision inputs, and ``soft``
    does not overflow.

    Args:
        margin: How much farther than the positive the negative must be.
        distance: ``'L2'``, ``'squared-L2'``, ``'angular'``, or a callable (..., M, D) -> (..., M, M).
        soft: log(1 + exp(positive - negative)) in place of the hinge with margin.
        loss_weight: Factor of the result.
        tfa_compat: Let anchors without a positive or negative count as tensorflow_addons does.

    Raises:
        ValueError: If ``distance`` is unknown.
    """

    mine = staticmethod(hard_triplets)

    def __init__(
        self,
        margin: float = 1.0,
        distance: str | Distance = 'L2',
        soft: bool = False,
        loss_weight: float = 1.0,
        tfa_compat: bool = False,
    ) -> None:
        super().__init__(margin, distance, loss_weight, tfa_compat)
        self.soft = soft


@MODELS.register_module()
class TripletSemiHardLoss(_MinedTripletLoss):
    """Triplet loss of each positive pair with the nearest negative that is farther than the positive.

    Where no negative is farther, the farthest one counts.

    Source: FaceNet, arXiv 1503.03832; conventions of tensorflow_addons' TripletSemiHardLoss.

    Differs from it: pairs without a negative do not count; a batch without a positive pair gives 0 instead of nan (with
    ``tfa_compat`` too); the result stays float32; memory is M^2 instead of M^3.

    Args:
        margin: How much farther than the positive the negative must be.
        distance: ``'L2'``, ``'squared-L2'``, ``'angular'``, or a callable (..., M, D) -> (..., M, M).
        loss_weight: Factor of the result.
        tfa_compat: Let pairs without a negative count as tensorflow_addons does.

    Raises:
        ValueError: If ``distance`` is unknown.
    """

    mine = staticmethod(semi_hard_triplets)


def _labels(targets: Tensor, inputs: Tensor) -> Tensor:
    """Targets as (..., M)."""
    shape = inputs.shape[:-1]
    if inputs.dim() < 2 or targets.shape not in (shape, (*shape, 1)):
        raise ValueError(
            f'targets must be labels of shape (batch) or (batch, 1) for inputs (batch, channels), but got targets '
            f'{tuple(targets.shape)} and inputs {tuple(inputs.shape)}; one-hot targets: pass targets.argmax(1)'
        )
    return targets.reshape(shape)
