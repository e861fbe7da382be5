"""Judges detections at a score threshold: what became of each, and what it says about classes and images."""

from functools import cached_property

from numpy import ndarray

from ..evaluation.box_matching import Found
from .detection_statistics import Threshold, assign, best_threshold, confusion_matrix
from .evaluated import MATCH_IOU, Evaluated
from .pictures import Errors, Kinds, count_errors, kinds


class Judged:
    """What the parts of the report need: the detections with the threshold, and what became of each.

    Args:
        evaluated: Of the set.
        score_thr: Threshold; None for that of the best F1.
    """

    def __init__(self, evaluated: Evaluated, score_thr: float | None = None) -> None:
        self.evaluated = evaluated
        self.counted = ~evaluated.matches.is_ignored
        self.best = self.best_of(None)
        self.is_chosen = score_thr is not None
        self.threshold = score_thr if score_thr is not None else self.best.score if self.best else 0.5

    def outcomes(self, category: int | None = None) -> tuple[ndarray, ndarray, int]:
        """Scores of the detections that count, whether each is true, and the number of objects."""
        found, objects = self.evaluated.found, self.evaluated.num_objects
        kept = self.counted
        if category is not None:
            kept, objects = kept & (found.cell // self.evaluated.num_images == category), objects[category]
        return found.score[kept], self.evaluated.matches.is_true[kept], int(objects.sum())

    def best_of(self, category: int | None) -> Threshold | None:
        """The best threshold of a category, or of all."""
        return best_threshold(*self.outcomes(category))

    @cached_property
    def found(self) -> Found:
        """The detections above the threshold."""
        kept = self.evaluated.found.score >= self.threshold
        return Found(*(part[kept] for part in self.evaluated.found))

    @cached_property
    def assigned(self) -> ndarray:
        """The object of each of them."""
        return assign(self.found, self.evaluated.truth, self.evaluated.num_images, MATCH_IOU)

    @cached_property
    def kinds(self) -> Kinds:
        """What became of each of them."""
        return kinds(self.found, self.evaluated.truth, self.assigned, self.evaluated.num_images)

    @cached_property
    def errors(self) -> Errors:
        """The errors of each image."""
        return count_errors(self.found, self.evaluated.truth, self.kinds, self.evaluated.num_images)

    @cached_property
    def matrix(self) -> ndarray:
        """The confusion matrix."""
        count, truth = self.evaluated.num_images, self.evaluated.truth
        category, true_category = self.found.cell // count, truth.cell // count
        return confusion_matrix(category, true_category, truth.is_crowd, self.assigned, len(self.evaluated.classes))
