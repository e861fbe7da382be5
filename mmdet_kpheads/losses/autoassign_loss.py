"""The three losses of AutoAssign, arXiv 2007.03496, from sparse pairs of an object and a point.

Shape legend: B images, C classes, N boxes, T points of all levels, P pairs, M = B * N.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from ..functional.assignment import (
    CONFIDENCE_SCALE,
    BoxRanges,
    BoxSums,
    best_iou,
    box_sums,
    center_loss,
    negative_weight,
    positive_loss,
)
from ..functional.joint_focal import joint_focal_sum
from ..ground_truth import GroundTruth
from ..targets.point_pairs import Pairs, PointGrid, PointPairs
from .normaliser import normaliser

PAIRS_AT_ONCE = 1 << 19  # whose graph is kept; of more, each part is worked out again in backward, to bound the memory

LogPrior = Callable[[Tensor, Tensor, Tensor], Tensor]


class PointPredictions(NamedTuple):
    """Predictions of all levels."""

    class_logits: Tensor  # (B, C, T)
    objectness_logits: Tensor  # (B, 1, T)
    boxes: Tensor  # (B, T, 4) float32 xyxy in pixels


class AutoAssignLoss(nn.Module):
    """Positive, negative and centre loss.

    Args:
        loss_bbox: An IoU loss of mmdet.
        pos_weight: Weight of the positive loss.
        neg_weight: Weight of the negative loss.
        center_weight: Weight of the centre loss.
    """

    def __init__(self, loss_bbox: nn.Module, pos_weight: float, neg_weight: float, center_weight: float) -> None:
        super().__init__()
        self.loss_bbox = loss_bbox
        self.pos_weight = pos_weight
        self.neg_weight = neg_weight
        self.center_weight = center_weight

    def forward(
        self,
        predictions: PointPredictions,
        truth: GroundTruth,
        grid: PointGrid,
        pairs: PointPairs,
        log_prior: LogPrior,
        ignored: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            predictions: Of every point.
            truth: The boxes.
            grid: The points.
            pairs: Of the boxes and the points.
            log_prior: Logarithm of the centre prior, from offsets (P, 2) in strides, labels (M,), box (P,).
            ignored: (B, T) bool, points that train nothing; None for none.

        Returns:
            ``loss_pos``, ``loss_neg``, ``loss_center``.
        """
        batch = _Batch(predictions, truth, grid, pairs, log_prior, ignored)
        ranges = BoxRanges.empty(len(batch.boxes), batch.boxes.device)
        for part in batch.parts():
            ranges.include_(part.box, part.iou, part.log_prior.detach(), part.live)
        weight = self._negative_weights(batch, ranges)
        sums = self._box_sums(batch, ranges)
        held = sums.points > 0
        negative = joint_focal_sum(predictions.class_logits, predictions.objectness_logits, weight)
        by_image = [values.view(truth.valid.shape) for values in (sums.prior, held)]
        return {
            'loss_pos': positive_loss(sums).sum() * self.pos_weight / normaliser(held.sum(dtype=torch.float32)),
            'loss_neg': negative * self.neg_weight / normaliser(sums.prior.detach().sum()),
            'loss_center': center_loss(*by_image) * self.center_weight,
        }

    @torch.no_grad()
    def positive_weights(
        self, predictions: PointPredictions, truth: GroundTruth, grid: PointGrid, pairs: PointPairs, log_prior: LogPrior
    ) -> Tensor:
        """How much each point stands for its object, (B, T): w+ over the largest w+ of the object; for pictures.

        A point inside several objects shows the largest of its values, one inside none 0.
        """
        batch = _Batch(predictions, truth, grid, pairs, log_prior, None)
        part = _Part(batch, pairs.slice(0, pairs.total))
        log_weight = CONFIDENCE_SCALE * self._log_hit(part).exp() + part.log_prior
        largest = log_weight.new_full((len(batch.boxes),), -torch.inf).scatter_reduce(0, part.box, log_weight, 'amax')
        share = (log_weight - largest[part.box]).exp()
        weights = predictions.boxes.new_zeros(predictions.boxes.shape[:2])
        weights.view(-1).scatter_reduce_(0, part.image_point, share, 'amax')
        return weights

    def _negative_weights(self, batch: '_Batch', ranges: BoxRanges) -> Tensor:
        """w-, (B, C, T): 1, and at a point inside objects of the class the smallest of theirs."""
        weight = torch.ones_like(batch.predictions.class_logits, dtype=torch.float32)
        for part in batch.parts():
            values = negative_weight(part.iou, ranges.lowest[part.box], ranges.highest[part.box])
            values = torch.where(part.live > 0, values, 1)
            weight.view(-1).scatter_reduce_(0, part.class_cell, values, 'amin')
        return weight if batch.ignored is None else weight.masked_fill_(batch.ignored[:, None], 0)

    def _box_sums(self, batch: '_Batch', ranges: BoxRanges) -> BoxSums:
        def of(part: _Part) -> BoxSums:
            return box_sums(
                part.box, len(batch.boxes), self._log_hit(part), part.log_prior, ranges.log_prior, part.live
            )

        def of_slice(first: int, last: int) -> BoxSums:
            return of(batch.part(first, last))  # made inside: a checkpoint keeps its arguments

        bounds = batch.bounds
        if len(bounds) == 1:
            return of(next(batch.parts()))
        parts = [checkpoint(of_slice, *part, use_reentrant=False, preserve_rng_state=False) for part in bounds]
        return BoxSums.total(parts)

    def _log_hit(self, part: '_Part') -> Tensor:
        """(P,) logarithm of P+ = P_cls P_loc, with P_loc = exp(-loss of the box)."""
        loss: Tensor = self.loss_bbox(part.predicted, part.true_boxes, reduction_override='none')
        return part.log_probability - loss


class _Batch:
    """Points, boxes and predictions of a batch, flat, and their pairs in parts."""

    def __init__(
        self,
        predictions: PointPredictions,
        truth: GroundTruth,
        grid: PointGrid,
        pairs: PointPairs,
        log_prior: LogPrior,
        ignored: Tensor | None,
    ) -> None:
        device = truth.boxes.device
        self.predictions = predictions
        self.log_prior = log_prior
        self.ignored = ignored
        self.boxes = truth.boxes.flatten(0, 1)  # (M, 4)
        self.labels = truth.labels.flatten()  # (M,)
        self.boxes_per_image = truth.boxes.shape[1]
        self.points = torch.cat((grid.points_px(device), grid.stride_px(device)[:, None]), 1)  # (T, 3) as x, y, stride
        self.iou = best_iou(predictions.boxes.detach(), truth.boxes).flatten()  # (B * T,)
        self._pairs = pairs
        total = max(pairs.total, 1)  # where there is no pair, one that does not count
        self.bounds = [(first, min(first + PAIRS_AT_ONCE, total)) for first in range(0, total, PAIRS_AT_ONCE)]
        self._only = self.part(0, total) if len(self.bounds) == 1 else None

    def part(self, first: int, last: int) -> '_Part':
        """Pairs number ``first`` up to ``last``, without the last."""
        return _Part(self, self._pairs.slice(first, last))

    def parts(self) -> Iterator['_Part']:
        """All pairs, some at once; a single part is made once."""
        if self._only is not None:
            yield self._only
            return
        for first, last in self.bounds:
            yield self.part(first, last)


class _Part:
    """What some pairs read from the points and boxes of a batch; each thing is read once, (P, ...)."""

    def __init__(self, batch: _Batch, pairs: Pairs) -> None:
        self._batch = batch
        self._exists = pairs.exists
        self._point = pairs.point
        self._image = pairs.box // batch.boxes_per_image
        self.box = pairs.box

    @cached_property
    def image_point(self) -> Tensor:
        """Where the point stands in the flat (B, T) map."""
        return self._image * len(self._batch.points) + self._point

    @cached_property
    def class_cell(self) -> Tensor:
        """Where the point and the class of the box stand in the flat (B, C, T) map."""
        classes, points = self._batch.predictions.class_logits.shape[1:]
        return (self._image * classes + self._labels) * points + self._point

    @cached_property
    def live(self) -> Tensor:
        """1, or 0 for pairs that do not count."""
        ignored = self._batch.ignored
        return (self._exists if ignored is None else self._exists & ~ignored.flatten()[self.image_point]).float()

    @cached_property
    def iou(self) -> Tensor:
        """Best IoU of the predicted box with any object."""
        return self._batch.iou[self.image_point]

    @cached_property
    def true_boxes(self) -> Tensor:
        """Objects, (P, 4)."""
        return self._batch.boxes[self.box]

    @cached_property
    def log_prior(self) -> Tensor:
        """Logarithm of G."""
        point, stride = self._batch.points[self._point].split((2, 1), 1)
        offset = (point - (self.true_boxes[:, :2] + self.true_boxes[:, 2:]) / 2) / stride
        return self._batch.log_prior(offset, self._batch.labels, self.box)

    @property
    def log_probability(self) -> Tensor:
        """Logarithm of class probability x objectness."""
        class_logits = self._batch.predictions.class_logits.flatten()[self.class_cell].float()
        objectness = self._batch.predictions.objectness_logits.flatten()[self.image_point].float()
        return logsigmoid(class_logits) + logsigmoid(objectness)

    @property
    def predicted(self) -> Tensor:
        """Predicted boxes, (P, 4)."""
        return self._batch.predictions.boxes.flatten(0, 1)[self.image_point]

    @cached_property
    def _labels(self) -> Tensor:
        return self._batch.labels[self.box]
