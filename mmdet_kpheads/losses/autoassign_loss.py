"""The three losses of AutoAssign, arXiv 2007.03496, from sparse pairs of an object and a grid point.

Shape legend: B images, C classes, N objects, T grid points of all levels, P pairs, M = B * N.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad
from torch.utils.checkpoint import checkpoint

from ..backends import version_of
from ..functional.autoassign import (
    CONFIDENCE_SCALE,
    ObjectRanges,
    ObjectSums,
    best_iou,
    center_loss,
    columns,
    inverse_miss,
    negative_weight,
    no_ranges,
    object_sums,
    positive_loss,
    with_pairs,
)
from ..functional.joint_focal import SparseWeight, joint_focal_sum
from ..structures import GridPyramid, GroundTruth
from ..targets.grid_pairs import GridPairs
from .normalizer import normalizer

# Pairs whose graph is kept. Larger batches are processed in chunks that backward recomputes; 16 bytes per pair stay.
PAIRS_AT_ONCE = 1 << 19

LogPrior = Callable[[Tensor, Tensor, Tensor], Tensor]  # CenterPrior
BoxLoss = Callable[..., Tensor]  # an IoU loss of mmdet
Bounds = tuple[int, int]


class GridPredictions(NamedTuple):
    """Predictions at the grid points of all levels."""

    class_logits: Tensor  # (B, C, T)
    objectness_logits: Tensor  # (B, 1, T)
    boxes: Tensor  # (B, T, 4) float32 xyxy in pixels

    def without(self, points: Tensor) -> 'GridPredictions':
        """Zeros at some grid points (B, T), which then get no gradient whatever was predicted there."""
        masks = points[:, None], points[:, None], points[..., None]
        return GridPredictions(*(values.masked_fill(mask, 0) for values, mask in zip(self, masks, strict=True)))


class AssignmentBatch(NamedTuple):
    """What the pairs of a batch read, flat.

    One more object follows the last: pairs at ignored grid points belong to it, and its sums are not used.
    """

    predictions: GridPredictions
    valid: Tensor  # (B, N) bool, for the shape
    pairs: GridPairs
    ignored: Tensor | None  # (B, T) bool, grid points that are excluded from the losses; None for none
    objectness_logits: Tensor  # (B * T,) float32
    predicted: Tensor  # (4, B * T) boxes
    points: Tensor  # (3, B * T) x, y and stride of the grid points
    boxes: Tensor  # (4, M + 1) objects
    labels: Tensor  # (M + 1,)
    class_step: Tensor  # (M,) from a grid point in the flat (B, T) to the object's class in the flat (B, C, T) map
    inverse_miss: Tensor  # (B * T,) 1 / (1 - best IoU of the predicted box with any object)


class PairValues(NamedTuple):
    """What some pairs read; everything once."""

    objects: Tensor  # (P,) in [0, M]
    points: Tensor  # (P,) in [0, B * T)
    class_cells: Tensor  # (P,) into the flat (B, C, T) map
    true_boxes: Tensor  # (4, P)
    log_prior: Tensor  # (P,) logarithm of G
    inverse_miss: Tensor  # (P,)


def assignment_batch(
    predictions: GridPredictions,
    truth: GroundTruth,
    grid: GridPyramid,
    pairs: GridPairs,
    ignored: Tensor | None = None,
    backend: str = 'auto',
) -> AssignmentBatch:
    """Gather a batch; predictions at ``ignored`` grid points (B, T) become constants."""
    if ignored is not None:
        predictions = predictions.without(ignored)
    device = truth.boxes.device
    _, classes, points = predictions.class_logits.shape
    image = torch.arange(len(truth.boxes), device=device)[:, None]
    overlap = version_of(best_iou, predictions.boxes, backend)(predictions.boxes.detach(), truth.boxes)
    return AssignmentBatch(
        predictions=predictions,
        valid=truth.valid,
        pairs=pairs,
        ignored=ignored,
        objectness_logits=predictions.objectness_logits.float().flatten(),
        predicted=predictions.boxes.flatten(0, 1).t(),
        points=torch.stack((*grid.points_px(device).t(), grid.stride_px(device))).repeat(1, len(truth.boxes)),
        boxes=pad(truth.boxes.flatten(0, 1), (0, 0, 0, 1)).t(),
        labels=pad(truth.labels.flatten(), (0, 1)),
        class_step=(image * (classes - 1) + truth.labels).flatten() * points,
        inverse_miss=inverse_miss(overlap).flatten(),
    )


def pair_values(batch: AssignmentBatch, log_prior: LogPrior, bounds: Bounds) -> PairValues:
    """Gather the pairs from the first of ``bounds`` up to, but not including, the second."""
    objects, points = batch.pairs.slice(*bounds)
    class_cells = points + batch.class_step.index_select(0, objects)
    if batch.ignored is not None:
        objects = torch.where(batch.ignored.flatten()[points], len(batch.labels) - 1, objects)
    true_boxes = columns(batch.boxes, objects)
    position, stride = columns(batch.points, points).split((2, 1))
    offset = (position - (true_boxes[:2] + true_boxes[2:]) / 2) / stride  # (2, P)
    return PairValues(
        objects=objects,
        points=points,
        class_cells=class_cells,
        true_boxes=true_boxes,
        log_prior=log_prior(offset, batch.labels, objects),
        inverse_miss=batch.inverse_miss.index_select(0, points),
    )


def log_hit(batch: AssignmentBatch, values: PairValues, class_logits: Tensor, box_loss: BoxLoss) -> Tensor:
    """(P,) logarithm of P+ = P_cls P_obj P_loc, with P_loc = exp(-loss of the box)."""
    objectness = batch.objectness_logits.index_select(0, values.points)
    predicted = columns(batch.predicted, values.points)
    return logsigmoid(class_logits) + logsigmoid(objectness) - _box_losses(box_loss, predicted, values.true_boxes)


def _box_losses(box_loss: BoxLoss, predicted: Tensor, true_boxes: Tensor) -> Tensor:
    """Loss of each pair (P,), from coordinates (4, P)."""
    if predicted.shape[1] == 0:
        return predicted.sum(0)  # mmdet's losses drop the graph of no boxes
    losses = box_loss(predicted.t(), true_boxes.t(), reduction_override='none')
    if losses.shape != predicted.shape[1:]:
        raise TypeError(
            f'loss_bbox: {type(box_loss).__name__} returns shape {tuple(losses.shape)} for {predicted.shape[1]} boxes, '
            'but AutoAssign needs one loss per box, in (0, inf): use an IoU loss'
        )
    return losses


@torch.no_grad()
def positive_weights(batch: AssignmentBatch, log_prior: LogPrior, box_loss: BoxLoss) -> Tensor:
    """The weight w+ of each grid point over the largest w+ of its object, (B, T); for visualization.

    A grid point inside several objects gets the largest of its values, one inside none 0.
    """
    values = pair_values(batch, log_prior, (0, batch.pairs.total))  # without a graph, all pairs at once need little
    class_logits = batch.predictions.class_logits.flatten().index_select(0, values.class_cells).float()
    confidence = log_hit(batch, values, class_logits, box_loss).exp()
    log_weight = CONFIDENCE_SCALE * confidence + values.log_prior
    largest = log_weight.new_full(batch.labels.shape, -torch.inf).scatter_reduce(0, values.objects, log_weight, 'amax')
    share = (log_weight - largest.index_select(0, values.objects)).exp()
    weights = batch.predictions.boxes.new_zeros(batch.predictions.boxes.shape[:2])
    weights.view(-1).scatter_reduce_(0, values.points, share, 'amax')
    return weights


@dataclass(frozen=True)
class AutoAssignLoss:
    """Positive, negative and center loss with their weights.

    Args:
        pos_weight: Weight of the positive loss.
        neg_weight: Weight of the negative loss.
        center_weight: Weight of the center loss.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
        pairs_at_once: Pairs per chunk.
    """

    pos_weight: float
    neg_weight: float
    center_weight: float
    backend: str = 'auto'
    pairs_at_once: int = PAIRS_AT_ONCE

    def chunks(self, total: int) -> list[Bounds]:
        """Bounds of the pairs that are processed at once."""
        step = self.pairs_at_once
        if total <= step:  # no loop over a number that torch.compile keeps open
            return [(0, total)]
        return [(first, min(first + step, total)) for first in range(0, total, step)]

    def __call__(self, batch: AssignmentBatch, log_prior: LogPrior, box_loss: BoxLoss) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            batch: From :func:`assignment_batch`.
            log_prior: Logarithm of the center prior, from offsets (2, P) in strides, labels (M + 1,), objects (P,).
            box_loss: An IoU loss, called with boxes (P, 4) and ``reduction_override='none'``.

        Returns:
            ``loss_pos``, ``loss_neg``, ``loss_center``.

        Raises:
            TypeError: If ``box_loss`` does not return one value per box.
        """
        bounds = self.chunks(batch.pairs.total)
        only = pair_values(batch, log_prior, bounds[0]) if len(bounds) == 1 else None

        def values_of(chunk: Bounds) -> PairValues:
            return only or pair_values(batch, log_prior, chunk)

        ranges, weight = _ranges_and_negative_weight(batch, bounds, values_of)
        formula = version_of(joint_focal_sum, batch.predictions.class_logits, self.backend)
        negative, class_logits = formula(batch.predictions.class_logits, batch.predictions.objectness_logits, weight)

        def sums_of(chunk: Bounds, class_logits: Tensor) -> ObjectSums:
            values = values_of(chunk)  # gathered inside: a checkpoint keeps its arguments
            hit = log_hit(batch, values, class_logits, box_loss)
            return object_sums(values.objects, len(batch.labels), hit, values.log_prior, ranges.log_prior)

        sums = _added_up(sums_of, bounds, class_logits)
        held = (ranges.highest != -torch.inf)[:-1]
        positives, prior = normalizer(torch.stack((held.sum(dtype=torch.float32), sums.prior.detach().sum())))
        return {
            'loss_pos': positive_loss(sums, held).sum() * self.pos_weight / positives,
            'loss_neg': negative * self.neg_weight / prior,
            'loss_center': self.center_weight
            * center_loss(sums.prior.view(batch.valid.shape), held.view(batch.valid.shape)),
        }


@torch.no_grad()
def _ranges_and_negative_weight(
    batch: AssignmentBatch, bounds: list[Bounds], values_of: Callable[[Bounds], PairValues]
) -> tuple[ObjectRanges, SparseWeight]:
    """Ranges of all objects, and w-: 1, but the smallest w- of its objects of the class at a grid point inside them."""
    ranges = no_ranges(len(batch.labels), batch.labels.device)
    for chunk in bounds:
        values = values_of(chunk)
        ranges = with_pairs(ranges, values.objects, values.inverse_miss, values.log_prior)
    cells, weights = [], []
    for chunk in bounds:
        values = values_of(chunk)
        cells.append(values.class_cells)
        weights.append(negative_weight(ranges, values.objects, values.inverse_miss))
    return ranges, SparseWeight(torch.cat(cells), torch.cat(weights), batch.ignored)


def _added_up(
    sums_of: Callable[[Bounds, Tensor], ObjectSums], bounds: list[Bounds], class_logits: Tensor
) -> ObjectSums:
    """Sums over all pairs, (M,) each; with several chunks, the graph of each is rebuilt in backward."""
    if len(bounds) == 1:
        parts = [sums_of(bounds[0], class_logits)]
    else:
        parts = [
            checkpoint(sums_of, chunk, logits, use_reentrant=False, preserve_rng_state=False)
            for chunk, logits in zip(bounds, class_logits.split(bounds[0][1]), strict=True)
        ]
    return ObjectSums(*(torch.stack(values).sum(0)[:-1] for values in zip(*parts, strict=True)))
