"""The losses of AutoAssign over pairs of an object and a point: arXiv 2007.03496, sections 3.2 and 3.3.

Every function takes part of the pairs and adds to one value a box, so that a batch with very many pairs can be worked
through in parts.

Shape legend: B images, N boxes, C classes, T points of all levels, P pairs. M = B * N: boxes are counted
through the batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import block_cells

EPS = 1e-12  # of mmdet's and the authors' code
CONFIDENCE_SCALE = 3.0  # in exp(3 P+): the authors' value
MIN_UNION_PX2 = 1e-6  # mmdet's bbox_overlaps


class BoxSums(NamedTuple):
    """Sums over the points of each box, (M,) each; the weights carry exp(-shift) of the box."""

    weight: Tensor  # sum of exp(3 P+) G
    weighted_hit: Tensor  # sum of exp(3 P+) G P+
    prior: Tensor  # sum of G

    @classmethod
    def total(cls, parts: Sequence['BoxSums']) -> 'BoxSums':
        """The sums over all parts."""
        return cls(*(torch.stack(values).sum(0) for values in zip(*parts, strict=True)))


@torch.no_grad()
def best_iou(predicted: Tensor, boxes: Tensor) -> Tensor:
    """Largest IoU of each predicted box with any box of its image; no gradient.

    Differs from the rest in that every box counts here, also those that do not hold the point; it is worked out in
    blocks of a fixed size and only the maximum is kept.

    Args:
        predicted: (B, T, 4) xyxy.
        boxes: (B, N, 4) xyxy; zeros for none.

    Returns:
        (B, T).
    """
    images, points = predicted.shape[:2]
    step = max(1, block_cells(predicted.device) // max(1, images * boxes.shape[1]))
    x1, y1, x2, y2 = boxes[..., None].unbind(2)  # (B, N, 1) each
    area = ((x2 - x1) * (y2 - y1)).clamp(min=MIN_UNION_PX2)  # so that no union is 0
    width, height, other = predicted.new_empty(3, images, boxes.shape[1], min(step, points))
    parts = []
    for part in predicted.transpose(1, 2).contiguous().split(step, 2):
        left, top, right, bottom = part[:, :, None].unbind(1)  # (B, 1, T') each
        w, h, o = (scratch[..., : part.shape[2]] for scratch in (width, height, other))  # (B, N, T') each
        torch.minimum(right, x2, out=w).sub_(torch.maximum(left, x1, out=o)).clamp_(min=0)
        torch.minimum(bottom, y2, out=h).sub_(torch.maximum(top, y1, out=o))
        shared = w.mul_(h)  # below 0 where the boxes are apart
        both = torch.add((right - left) * (bottom - top), area, out=o)
        parts.append(shared.div_(both).amax(1))
    share = torch.cat(parts, 1).clamp_(min=0)  # of the sum of both areas: grows with the IoU
    return share / (1 - share)


def columns(table: Tensor, index: Tensor) -> Tensor:
    """Columns ``index`` (P,) of a table (K, M): (K, P)."""
    return table.gather(1, index.expand(len(table), -1))


def box_sums(box: Tensor, num_boxes: int, log_hit: Tensor, log_prior: Tensor, shift: Tensor) -> BoxSums:
    """Sums of the positive loss over some pairs.

    Args:
        box: (P,) int64 in [0, M).
        num_boxes: M.
        log_hit: (P,) logarithm of P+.
        log_prior: (P,) logarithm of G.
        shift: (M,) taken off ``log_prior`` in the weights, so that they do not underflow; it cancels.
    """
    hit = log_hit.exp()
    weight = (CONFIDENCE_SCALE * hit + log_prior - shift.index_select(0, box)).exp()
    values = torch.stack((weight, weight * hit, log_prior.exp()))  # (3, P)
    return BoxSums(*values.new_zeros(3, num_boxes).scatter_add(1, box.expand(3, -1), values))


def positive_loss(sums: BoxSums, held: Tensor) -> Tensor:
    """-log(sum w+ P+) of each box, (M,); 0 for a box without points, which is not ``held``."""
    tiny = torch.finfo(sums.weight.dtype).tiny
    weighted = torch.where(held, sums.weighted_hit, 1).clamp(min=tiny)
    return torch.where(held, sums.weight, 1).clamp(min=tiny).log() - weighted.log()


class BoxRanges(NamedTuple):
    """What the negative weights and the shift need of each box, (M,) each."""

    lowest: Tensor  # smallest f = 1 / (1 - IoU) of its points
    highest: Tensor
    log_prior: Tensor  # largest logarithm of G

    @classmethod
    def empty(cls, num_boxes: int, device: torch.device) -> 'BoxRanges':
        """Ranges of no pair."""
        most = torch.full((num_boxes,), torch.inf, device=device)
        return cls(most, -most, -most)

    @property
    def held(self) -> Tensor:
        """Boxes with a point, (M,) bool."""
        return self.highest != -torch.inf

    def include_(self, box: Tensor, inverse_miss: Tensor, log_prior: Tensor) -> None:
        """Take in some pairs, in place."""
        self.lowest.scatter_reduce_(0, box, inverse_miss, 'amin')
        self.highest.scatter_reduce_(0, box, inverse_miss, 'amax')
        self.log_prior.scatter_reduce_(0, box, log_prior, 'amax')

    def negative_weight(self, box: Tensor, inverse_miss: Tensor) -> Tensor:
        """w- = 1 - f of each pair, f brought to [0, 1] over the points of its box; a single point gives 0."""
        lowest, span = columns(torch.stack((self.lowest, self.highest - self.lowest + EPS)), box)
        return 1 - (inverse_miss - lowest + EPS) / span


def inverse_miss(iou: Tensor) -> Tensor:
    """The value f = 1 / (1 - IoU), before it is normalized over the points of a box."""
    return 1 / (1 - iou).clamp(min=EPS)


def center_loss(prior: Tensor, held: Tensor) -> Tensor:
    """Number of objects over the sum of G, mean over images; images without points count as 0.

    Args:
        prior: (B, N) sum of G over each box.
        held: (B, N) bool: boxes that hold a point.
    """
    objects = held.sum(1)
    total = torch.where(held, prior, 0).sum(1)
    return torch.where(objects > 0, objects / total.clamp(min=EPS), total).mean()
