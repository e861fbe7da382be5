"""Statistics of detections, as pure functions of NumPy arrays.

Shape legend: D detections, N objects, C classes. A cell is ``category * num_images + image``, as in
:mod:`mmdet_kpheads.evaluation.box_matching`.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from ..evaluation.box_matching import Found, Objects, near_pairs

ALONE, IN_CROWD = -1, -2  # a detection without an object; one inside a region that does not count


class Threshold(NamedTuple):
    """The lowest score to keep, and what the kept detections are worth."""

    score: float
    f1: float
    precision: float
    recall: float


class Reliability(NamedTuple):
    """Detections by score, in bins of equal width."""

    score: ndarray  # (bins,) mean, NaN in an empty bin
    precision: ndarray  # (bins,) share of true detections, NaN in an empty bin
    number: ndarray  # (bins,) int
    error: float  # mean distance of precision and score, over all detections


def f1_curve(score: ndarray, is_true: ndarray, num_objects: int) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """F1, precision and recall of the detections with at least each score that occurs.

    Args:
        score: (D,).
        is_true: (D,) bool; detections in ignored regions are left out by the caller.
        num_objects: Number of objects to find.

    Returns:
        Scores (K,), falling and without repetition; then F1, precision and recall at each, (K,).

    Example:
        >>> scores, f1, precision, recall = f1_curve(np.array([0.9, 0.8]), np.array([True, False]), 2)
        >>> f1.round(3).tolist(), precision.tolist(), recall.tolist()
        ([0.667, 0.5], [1.0, 0.5], [0.5, 0.5])
    """
    order = np.argsort(-score, kind='stable')
    score, true = score[order], np.cumsum(is_true[order])
    last = np.flatnonzero(np.diff(score, append=-np.inf))  # equal scores are kept or left out together
    true, kept = true[last], last + 1
    f1 = 2 * true / (kept + max(num_objects, 1))
    return score[last], f1, true / kept, true / max(num_objects, 1)


def best_threshold(score: ndarray, is_true: ndarray, num_objects: int) -> Threshold | None:
    """The score with the best F1, of equal ones the highest; None without a true detection."""
    scores, f1, precision, recall = f1_curve(score, is_true, num_objects)
    if not is_true.any():
        return None
    best = int(f1.argmax())
    return Threshold(float(scores[best]), float(f1[best]), float(precision[best]), float(recall[best]))


def reliability(score: ndarray, is_true: ndarray, bins: int = 10) -> Reliability:
    """How the score of detections compares with the share of true ones.

    Args:
        score: (D,) in [0, 1].
        is_true: (D,) bool.
        bins: Their number, of equal width; a score on a border belongs to the upper bin.

    Returns:
        The bins, and the expected calibration error: https://arxiv.org/abs/1706.04599, equation 3.
    """
    which = np.clip((score * bins).astype(int), 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    divisor = np.where(count, count, np.nan)
    mean = np.bincount(which, score, bins) / divisor
    precision = np.bincount(which, is_true, bins) / divisor
    error = np.nansum(count * np.abs(precision - mean)) / max(len(score), 1)
    return Reliability(mean, precision, count, float(error))


def assign(found: Found, truth: Objects, num_images: int, iou: float) -> ndarray:
    """Give each detection an object of any class, so that confused classes show.

    Per image the best score chooses first, among free objects that overlap by ``iou``: one of its own class if there is
    one, and of those the one that it overlaps most.

    Args:
        found: Detections in any order.
        truth: Objects in any order.
        num_images: Number of images.
        iou: Least overlap.

    Returns:
        (D,) index of the object, ``ALONE``, or ``IN_CROWD`` if there is only an object that does not count.
    """
    category, image = np.divmod(found.cell, num_images)
    true_category, true_image = np.divmod(truth.cell, num_images)
    order, true_order = np.lexsort((-found.score, image)), np.argsort(true_image, kind='stable')
    by_image = Found(*(part[order] for part in found._replace(cell=image)))
    true_by_image = Objects(*(part[true_order] for part in truth._replace(cell=true_image)))
    which, whose, overlap = near_pairs(by_image, true_by_image, iou)
    which, whose = order[which], true_order[whose]
    chosen = np.full(len(found.cell), ALONE)
    free = ~truth.is_crowd
    in_crowd = which[truth.is_crowd[whose]]
    same = category[which] == true_category[whose]
    for pair in np.lexsort((-overlap, ~same, -found.score[which])):
        detection, thing = which[pair], whose[pair]
        if chosen[detection] == ALONE and free[thing]:
            chosen[detection], free[thing] = thing, False
    chosen[in_crowd[chosen[in_crowd] == ALONE]] = IN_CROWD
    return chosen


def confusion_matrix(
    category: ndarray, true_category: ndarray, is_crowd: ndarray, assigned: ndarray, classes: int
) -> ndarray:
    """Count which class was detected as which.

    Args:
        category: (D,) class of the detections.
        true_category: (N,) class of the objects.
        is_crowd: (N,) bool; these objects are not counted.
        assigned: (D,) what :func:`assign` returned.
        classes: C.

    Returns:
        (C + 1, C + 1) int: rows are the true class, columns the detected one, the last of each is the background.
    """
    matrix = np.zeros((classes + 1, classes + 1), int)
    kept = assigned != IN_CROWD
    row = np.where(assigned >= 0, np.append(true_category, 0)[assigned], classes)
    np.add.at(matrix, (row[kept], category[kept]), 1)
    missed = ~is_crowd
    missed[assigned[assigned >= 0]] = False
    np.add.at(matrix, (true_category[missed], classes), 1)
    return matrix


def top_confusions(matrix: ndarray, number: int) -> list[tuple[int, int, int]]:
    """The largest entries off the diagonal: row, column, count; equal ones in the order of the matrix."""
    counts = matrix * ~np.eye(len(matrix), dtype=bool)
    order = np.argsort(-counts, axis=None, kind='stable')[:number]
    rows, columns = np.unravel_index(order, counts.shape)
    return [(int(r), int(c), int(counts[r, c])) for r, c in zip(rows, columns, strict=True) if counts[r, c]]


def sparse_classes(matrix: ndarray, number: int) -> ndarray:
    """The classes with most confusions, in order of their index; all if there are no more than ``number``."""
    off = matrix * ~np.eye(len(matrix), dtype=bool)
    confusions = (off.sum(0) + off.sum(1))[:-1]
    return np.sort(np.argsort(-confusions, kind='stable')[:number])
