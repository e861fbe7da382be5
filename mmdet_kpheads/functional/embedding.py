"""Associative embedding: tags that are equal within an object and a margin apart between objects.

Source: CornerNet, arXiv 1808.01244, section 3.3; Associative Embedding, arXiv 1611.05424.

Shape legend: B images, N objects (padded), K keypoints per object, D tag channels, H x W cells.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .distances import between, pairwise, widened
from .peaks import gather_cells

NORMS = {'l1': 1.0, 'l2': 2.0}  # p of the distance between the mean tags of two objects


class PullPush(NamedTuple):
    """Both losses of each image; 0 where an image has too few objects."""

    pull: Tensor  # (B,)
    push: Tensor  # (B,)


def gather_tags(maps: Tensor | Sequence[Tensor], cells: Tensor) -> Tensor:
    """Read the tags of every object's keypoints.

    Args:
        maps: One (B, D, H, W) map that holds all keypoints, or a sequence of K such maps, one per keypoint.
        cells: (B, N, K) int64 flat cells, y * W + x; any valid cell where there is no object.

    Returns:
        (B, N, K, D) tags.

    Raises:
        ValueError: If the number of maps is not K.
    """
    batch, objects, keypoints = cells.shape
    if isinstance(maps, Tensor):
        return gather_cells(maps, cells.flatten(1)).reshape(batch, objects, keypoints, maps.shape[1])
    if len(maps) != keypoints:
        raise ValueError(f'pass one map, or one for each of {keypoints} keypoints, but got {len(maps)}')
    return torch.stack([gather_cells(tags, cells[..., k]) for k, tags in enumerate(maps)], dim=2)


def pull_push(
    tags: Tensor,
    mask: Tensor,
    margin: float = 1.0,
    distance: str = 'l1',
    closeness: Callable[..., Tensor] | None = None,
) -> PullPush:
    """Pull and push loss of each image, in float32 (float64 for float64 tags).

    With e the mean tag of an object and n the objects of an image:

        pull = 1/n sum |tag - e|^2          push = 1/(n (n - 1)) sum_{i != j} max(0, margin - |e_i - e_j|)

    Differs from the original: the pairs (i, i) are left out instead of being subtracted with an epsilon, so push is
    exactly 0 for a single object. Differs from mmdet's: the D channels are one vector, not D objects.

    Args:
        tags: (B, N, K, D); values of masked-out objects are not used, not even if they are inf or nan.
        mask: (B, N) bool or 0/1 of any dtype, which objects exist.
        margin: Distance beyond which two objects do not push.
        distance: ``'l1'`` or ``'l2'``, over the D channels.
        closeness: Used in place of :func:`summed_closeness`.
    """
    mask = mask != 0
    tags = torch.where(mask[:, :, None, None], widened(tags), 0.0)
    mean = tags.mean(2)  # (B, N, D)
    count = mask.sum(1)  # (B,)
    pull = (tags - mean[:, :, None]).square().sum((1, 2, 3)) / count.clamp(min=1)
    push = (closeness or summed_closeness)(mean, mask, margin, NORMS[distance]) / (count * (count - 1)).clamp(min=1)
    return PullPush(pull, push)


def summed_closeness(mean: Tensor, mask: Tensor, margin: float, p: float) -> Tensor:
    """Sum of max(0, margin - |e_i - e_j|) over the pairs i != j of each image: (B,).

    Args:
        mean: (B, N, D) mean tags e.
        mask: (B, N) bool, which objects exist.
        margin: Distance beyond which two objects do not push.
        p: Of the norm.
    """
    return torch.where(different_objects(mask), F.relu(margin - pairwise(mean, p)), 0.0).sum((1, 2))


def different_objects(mask: Tensor) -> Tensor:
    """Pairs of two objects that exist, from (B, N): (B, N, N) bool."""
    itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return mask[:, :, None] & mask[:, None] & ~itself


class PairingReport(NamedTuple):
    """How well tags identify the corners of an object; scalars, 0 where there is nothing to average."""

    tags_within: Tensor  # mean distance between the two tags of an object
    tags_between: Tensor  # mean distance between tags of different objects of an image
    pairs_grouped: Tensor  # share of objects whose tags are close enough to be paired
    pairs_confused: Tensor  # share of pairs of different objects that are close enough too


@torch.no_grad()
def pairing_report(
    tags: Tensor, mask: Tensor, threshold: float, distance: str = 'l1', apart: Callable[..., Tensor] = between
) -> PairingReport:
    """Distances between the first and the last keypoint of all objects of each image, against a threshold.

    Args:
        tags: (B, N, K, D).
        mask: (B, N) bool, which objects exist.
        threshold: Tags at most this far apart are paired in decoding.
        distance: ``'l1'`` or ``'l2'``.
        apart: Distances of all pairs of two (B, N, D), from both and the p of the norm.
    """
    tags = torch.where(mask[:, :, None, None], widened(tags), 0.0)
    first, last, p = tags[:, :, 0], tags[:, :, -1], NORMS[distance]
    own = torch.linalg.vector_norm(first - last, p, dim=-1)  # (B, N)
    values = []
    for kind, gaps in ((mask, own), (different_objects(mask), apart(first, last, p))):
        count = kind.sum().clamp(min=1)
        values += [torch.where(kind, gaps, 0).sum() / count, (kind & (gaps <= threshold)).sum() / count]
    within, grouped, apart_mean, confused = values
    return PairingReport(within, apart_mean, grouped, confused)
