"""The formulas of AutoAssign over pairs of an object and a grid point.

Source: AutoAssign, arXiv 2007.03496, sections 3.2 and 3.3. P+ = P_cls P_obj P_loc is the confidence of a grid point in
its object, G the center prior, w+ and w- the weights of the positive and the negative loss.

The sums take some of the pairs and add to one value per object, so that a batch with very many pairs can be processed
in chunks.

Shape legend: B images, N objects, T grid points of all levels, P pairs. M = B * N: objects are counted through the
batch.
"""

from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-12  # of mmdet's and the authors' code
CONFIDENCE_SCALE = 3.0  # in exp(3 P+): the authors' value
MIN_UNION_PX2 = 1e-6  # mmdet's bbox_overlaps
MIN_SIGMA = 1e-2  # strides: a sigma nearer to 0 acts as this one, so that nothing is divided by 0
OVERLAPS_AT_ONCE = 1 << 24  # bounds the memory of best_iou at about 0.5 GB


class ObjectSums(NamedTuple):
    """Sums over the grid points of each object, (M,) each; the weights carry exp(-shift) of the object."""

    weight: Tensor  # sum of exp(3 P+) G
    weighted_hit: Tensor  # sum of exp(3 P+) G P+
    prior: Tensor  # sum of G


class ObjectRanges(NamedTuple):
    """What the weights need to know of all grid points of each object, (M,) each."""

    lowest: Tensor  # smallest f = 1 / (1 - IoU)
    highest: Tensor  # largest f; -inf for an object without a grid point
    log_prior: Tensor  # largest logarithm of G


def precision_of(sigma: Tensor) -> Tensor:
    """1 / (2 sigma^2) in 1 / strides^2, for sigma in strides; finite for every sigma, whose sign does not matter."""
    return 0.5 / sigma.abs().clamp(min=MIN_SIGMA).square()


def log_center_prior(offset: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """Logarithm of the center prior G = exp(-(offset - mean)^2 / (2 sigma^2)), x times y (section 3.2); never above 0.

    Args:
        offset: (2, ...) grid point - box center in strides of the point's level, x and y.
        mean: (2, ...) in strides.
        precision: (2, ...) from :func:`precision_of`.

    Returns:
        (...) logarithm.
    """
    return -((offset - mean).square() * precision).sum(0)


def columns(table: Tensor, index: Tensor) -> Tensor:
    """Columns ``index`` (P,) of a table (K, M): (K, P)."""
    return table.gather(1, index.expand(len(table), -1))


@torch.no_grad()
def best_iou(predicted: Tensor, boxes: Tensor, at_once: int = OVERLAPS_AT_ONCE) -> Tensor:
    """Largest IoU of each predicted box with any box of its image, also with those that do not hold the grid point.

    No gradient. Memory is bounded: some grid points are processed at once, and only the maximum is kept.

    Args:
        predicted: (B, T, 4) xyxy.
        boxes: (B, N, 4) xyxy, N at least 1; zeros for none.
        at_once: Overlaps that are computed at once.

    Returns:
        (B, T).
    """
    points = max(1, at_once // (boxes.shape[0] * boxes.shape[1]))
    left, top, right, bottom = boxes[:, None].unbind(-1)  # (B, 1, N) each
    area = (right - left) * (bottom - top)
    best = []
    for part in predicted.split(points, 1):
        x1, y1, x2, y2 = part[:, :, None].unbind(-1)  # (B, T', 1) each
        width = (torch.minimum(x2, right) - torch.maximum(x1, left)).clamp(min=0)
        height = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).clamp(min=0)
        shared = width * height
        union = ((x2 - x1) * (y2 - y1) + area - shared).clamp(min=MIN_UNION_PX2)
        best.append((shared / union).amax(2))
    return torch.cat(best, 1)


def inverse_miss(iou: Tensor) -> Tensor:
    """F = 1 / (1 - IoU), before it is normalized over the grid points of an object."""
    return 1 / (1 - iou).clamp(min=EPS)


def no_ranges(num_objects: int, device: torch.device) -> ObjectRanges:
    """The ranges of no pair."""
    most = torch.full((num_objects,), torch.inf, device=device)
    return ObjectRanges(most, -most, -most)


def with_pairs(ranges: ObjectRanges, objects: Tensor, miss: Tensor, log_prior: Tensor) -> ObjectRanges:
    """Ranges that include some more pairs: the object (P,), f (P,) and logarithm of G (P,) of each."""
    return ObjectRanges(
        ranges.lowest.scatter_reduce(0, objects, miss, 'amin'),
        ranges.highest.scatter_reduce(0, objects, miss, 'amax'),
        ranges.log_prior.scatter_reduce(0, objects, log_prior, 'amax'),
    )


def negative_weight(ranges: ObjectRanges, objects: Tensor, miss: Tensor) -> Tensor:
    """w- = 1 - f of each pair (P,), with f brought to [0, 1] over the grid points of its object; one point gives 0."""
    span = ranges.highest - ranges.lowest + EPS
    return 1 - (miss - ranges.lowest.index_select(0, objects) + EPS) / span.index_select(0, objects)


def object_sums(objects: Tensor, num_objects: int, log_hit: Tensor, log_prior: Tensor, shift: Tensor) -> ObjectSums:
    """Sums of the positive loss over some pairs.

    Args:
        objects: (P,) int64 in [0, M).
        num_objects: M.
        log_hit: (P,) logarithm of P+.
        log_prior: (P,) logarithm of G.
        shift: (M,) subtracted from ``log_prior`` in the weights, so that they do not underflow; it cancels.
    """
    hit = log_hit.exp()
    weight = (CONFIDENCE_SCALE * hit + log_prior - shift.index_select(0, objects)).exp()
    values = torch.stack((weight, weight * hit, log_prior.exp()))  # (3, P)
    return ObjectSums(*values.new_zeros(3, num_objects).scatter_add(1, objects.expand(3, -1), values))


def positive_loss(sums: ObjectSums, held: Tensor) -> Tensor:
    """-log(sum w+ P+) of each object, (M,); 0 for an object without grid points, which is not ``held``."""
    tiny = torch.finfo(sums.weight.dtype).tiny
    weighted = torch.where(held, sums.weighted_hit, 1).clamp(min=tiny)
    return torch.where(held, sums.weight, 1).clamp(min=tiny).log() - weighted.log()


def center_loss(prior: Tensor, held: Tensor) -> Tensor:
    """Number of objects over the sum of G, mean over images; images without grid points count as 0.

    Args:
        prior: (B, N) sum of G over each object.
        held: (B, N) bool: objects that hold a grid point.
    """
    objects = held.sum(1)
    total = torch.where(held, prior, 0).sum(1)
    return torch.where(objects > 0, objects / total.clamp(min=EPS), total).mean()
