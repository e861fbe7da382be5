"""The three losses of AutoAssign, arXiv 2007.03496, from sparse pairs of an object and a point.

Shape legend: B images, C classes, N boxes, T points of all levels, P pairs, M = B * N.
"""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import torch
from mmdet.models.losses import GIoULoss
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad
from torch.utils.checkpoint import checkpoint

from ..functional.assignment import (
    CONFIDENCE_SCALE,
    BoxRanges,
    BoxSums,
    best_iou,
    box_sums,
    center_loss,
    columns,
    inverse_miss,
    positive_loss,
)
from ..functional.giou import giou_loss
from ..functional.joint_focal import SparseWeight, joint_focal_sum
from ..ground_truth import GroundTruth
from ..targets.point_pairs import Pairs, PointGrid, PointPairs
from .normalizer import normalizer

PAIRS_AT_ONCE = (
    1 << 19
)  # whose graph is kept; of more, each part is worked out again in backward, and 16 bytes a pair stay

LogPrior = Callable[[Tensor, Tensor, Tensor], Tensor]


class PointPredictions(NamedTuple):
    """Predictions of all levels."""

    class_logits: Tensor  # (B, C, T)
    objectness_logits: Tensor  # (B, 1, T)
    boxes: Tensor  # (B, T, 4) float32 xyxy in pixels

    def without(self, points: Tensor) -> 'PointPredictions':
        """Zeros at some points (B, T), which then get no gradient whatever was predicted there."""
        masks = points[:, None], points[:, None], points[..., None]
        return PointPredictions(*(values.masked_fill(mask, 0) for values, mask in zip(self, masks, strict=True)))


class AutoAssignLoss(nn.Module):
    """Positive, negative and center loss.

    Args:
        loss_bbox: An IoU loss of mmdet.
        pos_weight: Weight of the positive loss.
        neg_weight: Weight of the negative loss.
        center_weight: Weight of the center loss.
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
            log_prior: Logarithm of the center prior, from offsets (2, P) in strides, labels (M + 1,), box (P,).
            ignored: (B, T) bool, points that train nothing; None for none.

        Returns:
            ``loss_pos``, ``loss_neg``, ``loss_center``.
        """
        if ignored is not None:
            predictions = predictions.without(ignored)
        batch = _Batch(predictions, truth, grid, pairs, log_prior, ignored)
        ranges = BoxRanges.empty(batch.boxes.shape[1], batch.boxes.device)
        for part in batch.parts():
            ranges.include_(part.box, part.inverse_miss, part.log_prior.detach())
        negative, class_logits = joint_focal_sum(
            predictions.class_logits, predictions.objectness_logits, self._negative_weight(batch, ranges)
        )
        sums = self._box_sums(batch, ranges, class_logits)
        held = ranges.held[:-1]
        by_image = [values.view(truth.valid.shape) for values in (sums.prior, held)]
        return {
            'loss_pos': positive_loss(sums, held).sum() * self.pos_weight / normalizer(held.sum(dtype=torch.float32)),
            'loss_neg': negative * self.neg_weight / normalizer(sums.prior.detach().sum()),
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
        part = batch.part(0, pairs.total)  # also of very many pairs: without a graph they need little
        class_logits = predictions.class_logits.flatten().index_select(0, part.class_cell).float()
        log_weight = CONFIDENCE_SCALE * self._log_hit(part, class_logits).exp() + part.log_prior
        largest = log_weight.new_full(batch.labels.shape, -torch.inf).scatter_reduce(0, part.box, log_weight, 'amax')
        share = (log_weight - largest.index_select(0, part.box)).exp()
        weights = predictions.boxes.new_zeros(predictions.boxes.shape[:2])
        weights.view(-1).scatter_reduce_(0, part.point, share, 'amax')
        return weights

    @torch.no_grad()
    def _negative_weight(self, batch: '_Batch', ranges: BoxRanges) -> SparseWeight:
        """w-: 1, and at a point inside objects of the class the smallest of theirs."""
        cells = batch.labels.new_empty(batch.bounds[-1][-1])  # (P,)
        values = batch.boxes.new_empty(cells.shape)
        for (first, last), part in zip(batch.bounds, batch.parts(), strict=True):
            cells[first:last] = part.class_cell
            values[first:last] = ranges.negative_weight(part.box, part.inverse_miss)
        return SparseWeight(cells, values, batch.ignored)

    def _box_sums(self, batch: '_Batch', ranges: BoxRanges, class_logits: Tensor) -> BoxSums:
        """Sums over the pairs of each object, (B * N,) each."""

        def of(part: _Part, class_logits: Tensor) -> BoxSums:
            log_hit = self._log_hit(part, class_logits)
            return box_sums(part.box, len(batch.labels), log_hit, part.log_prior, ranges.log_prior)

        def of_slice(bounds: tuple[int, int], class_logits: Tensor) -> BoxSums:
            return of(batch.part(*bounds), class_logits)  # made inside: a checkpoint keeps its arguments

        if len(batch.bounds) == 1:
            sums = of(next(batch.parts()), class_logits)
        else:
            slices = zip(batch.bounds, class_logits.split(PAIRS_AT_ONCE), strict=True)
            sums = BoxSums.total(
                [checkpoint(of_slice, *part, use_reentrant=False, preserve_rng_state=False) for part in slices]
            )
        return BoxSums(*(values[:-1] for values in sums))

    def _log_hit(self, part: '_Part', class_logits: Tensor) -> Tensor:
        """(P,) logarithm of P+ = P_cls P_obj P_loc, with P_loc = exp(-loss of the box)."""
        return logsigmoid(class_logits) + logsigmoid(part.objectness) - self._box_loss(part.predicted, part.true_boxes)

    def _box_loss(self, predicted: Tensor, boxes: Tensor) -> Tensor:
        """``loss_bbox`` of each pair, from coordinates (4, P)."""
        loss_bbox: Any = self.loss_bbox
        if type(loss_bbox) is GIoULoss:
            return giou_loss(predicted, boxes, loss_bbox.eps) * loss_bbox.loss_weight
        if predicted.shape[1] == 0:
            return predicted.sum(0)  # mmdet's losses drop the graph of no boxes
        loss: Tensor = loss_bbox(predicted.t(), boxes.t(), reduction_override='none')
        return loss


class _Batch:
    """Points, boxes and predictions of a batch, flat, and their pairs in parts.

    One more box stands behind the last: pairs that do not count are given to it, and its sums are not used.
    """

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
        _, classes, points = predictions.class_logits.shape
        self.log_prior = log_prior
        self.ignored = ignored
        self.objectness = predictions.objectness_logits.float().flatten()  # (B * T,); its gradient is a sum over pairs
        self.predicted = predictions.boxes.flatten(0, 1).t()  # (4, B * T)
        self.boxes = pad(truth.boxes.flatten(0, 1), (0, 0, 0, 1)).t()  # (4, M + 1)
        self.labels = pad(truth.labels.flatten(), (0, 1))  # (M + 1,)
        self.points = torch.stack((*grid.points_px(device).t(), grid.stride_px(device))).repeat(1, len(truth.boxes))
        image = torch.arange(len(truth.boxes), device=device)[:, None]
        # what leads from a point in the flat (B, T) map to the class of the box in the flat (B, C, T) map
        self.class_step = (image * (classes - 1) + truth.labels).flatten() * points
        self.inverse_miss = inverse_miss(best_iou(predictions.boxes.detach(), truth.boxes)).flatten()  # (B * T,)
        self._pairs = pairs
        self.bounds = [
            (first, min(first + PAIRS_AT_ONCE, pairs.total)) for first in range(0, max(1, pairs.total), PAIRS_AT_ONCE)
        ]
        self._only = self.part(0, pairs.total) if len(self.bounds) == 1 else None

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
    """What some pairs read from the points and boxes of a batch; each thing is read once, (..., P)."""

    def __init__(self, batch: _Batch, pairs: Pairs) -> None:
        self._batch = batch
        self._of_box = pairs.box
        self.point = pairs.point

    @cached_property
    def box(self) -> Tensor:
        """Number of the box, the one behind the last where the point is ignored."""
        ignored, last = self._batch.ignored, len(self._batch.labels) - 1
        return self._of_box if ignored is None else torch.where(ignored.flatten()[self.point], last, self._of_box)

    @property
    def class_cell(self) -> Tensor:
        """Where the point and the class of the box stand in the flat (B, C, T) map."""
        return self.point + self._batch.class_step.index_select(0, self._of_box)

    @cached_property
    def inverse_miss(self) -> Tensor:
        """1 / (1 - best IoU of the predicted box with any object)."""
        return self._batch.inverse_miss.index_select(0, self.point)

    @cached_property
    def true_boxes(self) -> Tensor:
        """Objects, (4, P)."""
        return columns(self._batch.boxes, self.box)

    @cached_property
    def log_prior(self) -> Tensor:
        """Logarithm of G."""
        point, stride = columns(self._batch.points, self.point).split((2, 1))
        offset = (point - (self.true_boxes[:2] + self.true_boxes[2:]) / 2) / stride  # (2, P)
        return self._batch.log_prior(offset, self._batch.labels, self.box)

    @property
    def objectness(self) -> Tensor:
        """Objectness logits."""
        return self._batch.objectness.index_select(0, self.point)

    @property
    def predicted(self) -> Tensor:
        """Predicted boxes, (4, P)."""
        return columns(self._batch.predicted, self.point)
