"""A triplet loss over the keypoints of objects, as a grouping loss."""

from typing import Any

import torch
from torch import Tensor, nn

from ..registry import MODELS
from .associative_embedding_loss import check_tags
from .build import TRIPLET_LOSS, build_loss


@MODELS.register_module()
class CornerTripletLoss(nn.Module):
    """Groups keypoints by a triplet loss: those of one object share a label, each image is a batch of its own.

    An alternative to AssociativeEmbeddingLoss, called the same way. It needs two objects per image: the keypoints of a
    single object have no negative and do not count.

    Args:
        triplet: Config of the triplet loss; None for TripletHardLoss with its defaults.

    Raises:
        TypeError: If the configured loss does not take embeddings (..., M, D), labels and a mask.
    """

    def __init__(self, triplet: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.triplet = build_loss(triplet or {'type': 'TripletHardLoss'}, 'triplet', TRIPLET_LOSS)

    def forward(self, tags: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Loss of a batch.

        Args:
            tags: (B, N, K, D) tags of the keypoints of each object.
            mask: (B, N) bool or 0/1, which objects exist.

        Returns:
            ``{'group': ..}``, a scalar.

        Raises:
            ValueError: If the shapes do not fit.
        """
        check_tags(tags, mask)
        objects = torch.arange(tags.shape[1], device=tags.device)
        labels = objects.repeat_interleave(tags.shape[2]).expand(tags.shape[0], -1)  # (B, N*K)
        valid = (mask != 0).repeat_interleave(tags.shape[2], dim=1)  # (B, N*K)
        return {'group': self.triplet(tags.flatten(1, 2), labels, valid)}
