"""The three losses of AutoAssign, arXiv 2007.03496, from sparse pairs of an object and a point.

Shape legend: B images, C classes, N boxes, T points of all levels, P pairs, M = B * N.
"""

from collections.abc import Callable, Iterator
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

PAIRS_AT_ONCE = 1 << 19  # whose graph is kept, some 0.2 GB; of more, each part is worked out again in backward

LogPrior = Callable[[Tensor, Tensor], Tensor]


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
            log_prior: Logarithm of the centre prior, from offsets (P, 2) in strides and labels (P,).
            ignored: (B, T) bool, points that train nothing; None for none.

        Returns:
            ``loss_pos``, ``loss_neg``, ``loss_center``.
        """
        view = _PairView(predictions, truth, grid, pairs, log_prior, ignored)
        ranges = BoxRanges.empty(len(view.boxes), view.boxes.device)
        with torch.no_grad():
            for part in view.parts():
                ranges.include_(part.box, view.iou(part), view.log_prior(part), view.live(part))
            weight = self._negative_weights(view, ranges)
        sums = self._box_sums(view, ranges)
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
        view = _PairView(predictions, truth, grid, pairs, log_prior, None)
        part = pairs.slice(0, pairs.total)
        log_weight = CONFIDENCE_SCALE * self._log_hit(view, part).exp() + view.log_prior(part)
        largest = log_weight.new_full((len(view.boxes),), -torch.inf).scatter_reduce(0, part.box, log_weight, 'amax')
        share = (log_weight - largest[part.box]).exp()
        weights = predictions.boxes.new_zeros(predictions.boxes.shape[:2])
        weights.view(-1).scatter_reduce_(0, view.image_point(part), share, 'amax')
        return weights

    def _negative_weights(self, view: '_PairView', ranges: BoxRanges) -> Tensor:
        """w-, (B, C, T): 1, and at a point inside objects of the class the smallest of theirs."""
        weight = torch.ones_like(view.predictions.class_logits, dtype=torch.float32)
        for part in view.parts():
            values = negative_weight(view.iou(part), ranges.lowest[part.box], ranges.highest[part.box])
            values = torch.where(view.live(part) > 0, values, 1)
            weight.view(-1).scatter_reduce_(0, view.class_cell(part), values, 'amin')
        return weight if view.ignored is None else weight.masked_fill_(view.ignored[:, None], 0)

    def _box_sums(self, view: '_PairView', ranges: BoxRanges) -> BoxSums:
        def of(first: int, last: int) -> BoxSums:
            part = view.pairs.slice(first, last)  # made here: a checkpoint keeps its arguments
            log_hit = self._log_hit(view, part)
            return box_sums(part.box, len(view.boxes), log_hit, view.log_prior(part), ranges.log_prior, view.live(part))

        bounds = list(view.bounds())
        if len(bounds) == 1:
            return of(*bounds[0])
        return BoxSums.total([checkpoint(of, *part, use_reentrant=False, preserve_rng_state=False) for part in bounds])

    def _log_hit(self, view: '_PairView', part: Pairs) -> Tensor:
        """(P,) logarithm of P+ = P_cls P_loc, with P_loc = exp(-loss of the box)."""
        loss: Tensor = self.loss_bbox(view.predicted(part), view.boxes[part.box], reduction_override='none')
        return view.log_probability(part) - loss


class _PairView:
    """What pairs read from the points and boxes of a batch."""

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
        self.pairs = pairs
        self.ignored = ignored
        self.boxes = truth.boxes.flatten(0, 1)  # (M, 4)
        self._labels = truth.labels.flatten()  # (M,)
        self._boxes_per_image = truth.boxes.shape[1]
        self._points_px = grid.points_px(device)  # (T, 2)
        self._stride_px = grid.stride_px(device)[:, None]  # (T, 1)
        self._iou = best_iou(predictions.boxes.detach(), truth.boxes).flatten()  # (B * T,)
        self._prior = log_prior

    def bounds(self) -> Iterator[tuple[int, int]]:
        """First and last number of pairs to work on at once; where there is none, one pair that does not count."""
        total = max(self.pairs.total, 1)
        for first in range(0, total, PAIRS_AT_ONCE):
            yield first, min(first + PAIRS_AT_ONCE, total)

    def parts(self) -> Iterator[Pairs]:
        """All pairs, some at once."""
        for first, last in self.bounds():
            yield self.pairs.slice(first, last)

    def live(self, part: Pairs) -> Tensor:
        """(P,) 1, or 0 for pairs that do not count."""
        counts = part.exists if self.ignored is None else part.exists & ~self.ignored.flatten()[self.image_point(part)]
        return counts.float()

    def iou(self, part: Pairs) -> Tensor:
        """(P,) best IoU of the predicted box with any object."""
        return self._iou[self.image_point(part)]

    def log_prior(self, part: Pairs) -> Tensor:
        """(P,) logarithm of G."""
        box = self.boxes[part.box]
        offset = (self._points_px[part.point] - (box[:, :2] + box[:, 2:]) / 2) / self._stride_px[part.point]
        return self._prior(offset, self._labels[part.box])

    def log_probability(self, part: Pairs) -> Tensor:
        """(P,) logarithm of class probability x objectness."""
        class_logits = self.predictions.class_logits.flatten()[self.class_cell(part)].float()
        objectness = self.predictions.objectness_logits.flatten()[self.image_point(part)].float()
        return logsigmoid(class_logits) + logsigmoid(objectness)

    def predicted(self, part: Pairs) -> Tensor:
        """(P, 4) predicted boxes."""
        return self.predictions.boxes.flatten(0, 1)[self.image_point(part)]

    def class_cell(self, part: Pairs) -> Tensor:
        """(P,) where the point and the class of the box stand in the flat (B, C, T) map."""
        _, classes, points = self.predictions.class_logits.shape
        return (self._image(part) * classes + self._labels[part.box]) * points + part.point

    def _image(self, part: Pairs) -> Tensor:
        return part.box // self._boxes_per_image

    def image_point(self, part: Pairs) -> Tensor:
        """(P,) where the point stands in the flat (B, T) map."""
        return self._image(part) * self.predictions.boxes.shape[1] + part.point
