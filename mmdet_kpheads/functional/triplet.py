"""Triplets mined from all pairwise distances of a batch, and their loss.

Source: hard, In Defense of the Triplet Loss, arXiv 1703.07737; semi-hard, FaceNet, arXiv 1503.03832. Both as in
tensorflow_addons' losses/triplet.py, whose behavior without a positive or negative ``tfa_compat`` reproduces.

Shape legend: M embeddings of a batch; ``...`` any number of independent batches.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

COLLAPSED = 1e-6  # below this largest distance, all embeddings are equal and no gradient is left


class Pairs(NamedTuple):
    """Positive and negative pairs; row = anchor. An embedding does not pair with itself."""

    positive: Tensor  # (..., M, M) bool, same label
    negative: Tensor  # (..., M, M) bool, other label


class Triplets(NamedTuple):
    """Mined distances: one triplet per anchor, (..., M), or one per positive pair, (..., M, M)."""

    positive: Tensor  # anchor to positive
    negative: Tensor  # anchor to negative
    counts: Tensor  # bool, which triplets enter the loss


def label_pairs(labels: Tensor, valid: Tensor | None = None) -> Pairs:
    """Pairs of equal and of different labels.

    Args:
        labels: (..., M).
        valid: (..., M) bool; other embeddings are in no pair. None for all.
    """
    same = labels[..., :, None] == labels[..., None, :]
    itself = torch.eye(labels.shape[-1], dtype=torch.bool, device=labels.device)
    positive, negative = same & ~itself, ~same
    if valid is None:
        return Pairs(positive, negative)
    both = valid[..., :, None] & valid[..., None, :]
    return Pairs(positive & both, negative & both)


def hard_triplets(distance: Tensor, pairs: Pairs, valid: Tensor | None = None, tfa_compat: bool = False) -> Triplets:
    """The farthest positive and the nearest negative of each anchor.

    Args:
        distance: (..., M, M), row = anchor.
        pairs: From :func:`label_pairs`.
        valid: As for :func:`label_pairs`.
        tfa_compat: Count every anchor; a missing positive is the smallest distance of the row, a missing negative the
            largest. Otherwise only anchors that have both count.
    """
    if distance.shape[-1] == 0:
        nothing = distance.sum(-1)  # (..., 0); amin takes no empty row
        return Triplets(nothing, nothing, nothing.bool())
    seen = _seen(distance, valid)
    lowest = torch.where(seen, distance, torch.inf).amin(-1, keepdim=True)
    highest = torch.where(seen, distance, -torch.inf).amax(-1, keepdim=True)
    positive = torch.where(pairs.positive, distance, lowest).amax(-1)
    negative = torch.where(pairs.negative, distance, highest).amin(-1)
    if tfa_compat:
        return Triplets(positive, negative, torch.ones_like(positive, dtype=torch.bool) if valid is None else valid)
    return Triplets(positive, negative, pairs.positive.any(-1) & pairs.negative.any(-1))


def semi_hard_triplets(
    distance: Tensor, pairs: Pairs, valid: Tensor | None = None, tfa_compat: bool = False
) -> Triplets:
    """For each positive pair the nearest negative that is farther than the positive, else the farthest negative.

    Sorts each anchor's negatives, so memory grows with M^2; the original needs M^3.

    Args:
        distance: (..., M, M), row = anchor.
        pairs: From :func:`label_pairs`.
        valid: As for :func:`label_pairs`.
        tfa_compat: Count every positive pair; a missing negative is the smallest distance of the row. Otherwise only
            pairs whose anchor has a negative count.
    """
    chosen = _semi_hard_index(distance.detach(), pairs.negative)
    negative = distance.gather(-1, chosen)  # (..., M, M)
    has_negative = pairs.negative.any(-1, keepdim=True)
    if not tfa_compat or distance.shape[-1] == 0:
        return Triplets(distance, negative, pairs.positive & has_negative)
    lowest = torch.where(_seen(distance, valid), distance, torch.inf).amin(-1, keepdim=True)
    return Triplets(distance, torch.where(has_negative, negative, lowest), pairs.positive)


def _seen(distance: Tensor, valid: Tensor | None) -> Tensor:
    """Columns that exist, (..., 1, M), including an embedding's own."""
    return distance.new_ones(1, dtype=torch.bool) if valid is None else valid[..., None, :]


@torch.no_grad()
def _semi_hard_index(distance: Tensor, is_negative: Tensor) -> Tensor:
    """Column of the negative of each pair, (..., M, M) int64; any column where the anchor has no negative."""
    ascending, order = torch.where(is_negative, distance, torch.inf).sort(dim=-1, stable=True)
    farther = torch.searchsorted(ascending, distance.contiguous(), right=True)  # index of the first that is farther
    farthest = is_negative.sum(-1, keepdim=True) - 1
    return order.gather(-1, torch.minimum(farther, farthest).clamp_(min=0))


def triplet_loss(triplets: Triplets, margin: float = 1.0, soft: bool = False) -> Tensor:
    """Mean over the triplets that count of max(0, positive - negative + margin); 0 without one.

    Args:
        triplets: The mined distances.
        margin: How much farther than the positive the negative must be.
        soft: log(1 + exp(positive - negative)) instead, which has no margin.
    """
    gap = triplets.positive - triplets.negative
    loss = F.softplus(gap) if soft else F.relu(gap + margin)
    return torch.where(triplets.counts, loss, 0.0).sum() / triplets.counts.sum().clamp(min=1)


@torch.no_grad()
def triplet_statistics(distance: Tensor, pairs: Pairs, triplets: Triplets, margin: float = 1.0) -> dict[str, Tensor]:
    """Statistics that separate a stuck training from a finished one; scalars on the device, no sync.

    Returns:
        ``active``: share of the triplets that break the margin; ``positive_distance`` and ``negative_distance``: means
        over the triplets that count; ``collapsed``: 1.0 if there are pairs and all distances are below ``COLLAPSED``.
    """
    number = triplets.counts.sum().clamp(min=1)
    active = triplets.counts & (triplets.positive - triplets.negative + margin > 0)
    any_pair = pairs.positive | pairs.negative
    return {
        'active': active.sum() / number,
        'positive_distance': torch.where(triplets.counts, triplets.positive, 0.0).sum() / number,
        'negative_distance': torch.where(triplets.counts, triplets.negative, 0.0).sum() / number,
        'collapsed': (any_pair.any() & ~(any_pair & (distance >= COLLAPSED)).any()).float(),
    }
