"""Associative embedding loss as a module."""

import torch
from torch import Tensor, nn

from ..backends import check_backend, version_of
from ..functional.embedding import NORMS, pull_push
from ..registry import MODELS
from .normalizer import normalizer

REDUCTIONS = ('sum', 'image_mean')


@MODELS.register_module()
class AssociativeEmbeddingLoss(nn.Module):
    """Pull the tags of one object together, push those of different objects apart; always in float32.

    Source: CornerNet, arXiv 1808.01244, section 3.3.

    Differs from mmdet's loss of the same name: it takes gathered tags and a mask instead of maps and match lists, any
    number of keypoints and channels, and has no loop. For two keypoints and one channel the values are the same.

    Args:
        pull_weight: Factor of pull.
        push_weight: Factor of push.
        margin: Distance beyond which two objects do not push.
        distance: ``'l1'`` or ``'l2'``; decoding should use the same.
        reduction: ``'sum'`` over images, as published, or ``'image_mean'``: the average over the images with objects
            on all ranks, which makes the weights independent of the batch size.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.

    Raises:
        ValueError: If ``distance``, ``reduction`` or ``backend`` is unknown.
    """

    def __init__(
        self,
        pull_weight: float = 0.25,
        push_weight: float = 0.25,
        margin: float = 1.0,
        distance: str = 'l1',
        reduction: str = 'sum',
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        if distance not in NORMS:
            raise ValueError(f'distance must be one of {tuple(NORMS)}, but got {distance!r}')
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction must be one of {REDUCTIONS}, but got {reduction!r}')
        check_backend(backend)
        self.pull_weight = pull_weight
        self.push_weight = push_weight
        self.margin = margin
        self.distance = distance
        self.reduction = reduction
        self.backend = backend

    def forward(self, tags: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Both losses of a batch.

        Args:
            tags: (B, N, K, D) tags of the keypoints of each object, see ``gather_tags``.
            mask: (B, N) bool or 0/1, which objects exist.

        Returns:
            ``{'pull': .., 'push': ..}``, scalars.

        Raises:
            ValueError: If the shapes do not fit.
        """
        check_tags(tags, mask)
        pull, push = version_of(pull_push, tags, self.backend)(tags, mask, self.margin, self.distance)
        losses = {'pull': self.pull_weight * pull.sum(), 'push': self.push_weight * push.sum()}
        if self.reduction == 'sum':
            return losses
        images = normalizer((mask != 0).any(1).sum(dtype=torch.float32))
        return {name: loss / images for name, loss in losses.items()}


def check_tags(tags: Tensor, mask: Tensor) -> None:
    """Raise ``ValueError`` unless tags are (B, N, K, D) with K >= 1 and the mask is (B, N)."""
    if tags.dim() != 4 or tags.shape[2] == 0 or mask.shape != tags.shape[:2]:
        raise ValueError(
            'tags must be (images, objects, keypoints, channels) and mask (images, objects), '
            f'but got {tuple(tags.shape)} and {tuple(mask.shape)}'
        )
