"""COCO's matching of boxes and its precision, for all images at once.

The rules and numbers are those of pycocotools' ``COCOeval`` for ``iouType='bbox'``. A cell is a category in an image:
boxes match within it alone.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

PAIRS_A_BLOCK = 1 << 20  # of detection and object, whose overlaps are computed at once: bounds the memory
SELDOM_ONE = 1 - 1e-10  # an IoU of 1 may be computed as slightly less


class Objects(NamedTuple):
    """Ground truth, sorted by cell."""

    cell: ndarray
    xywh: ndarray
    area: ndarray
    is_crowd: ndarray
    is_counted: ndarray  # false for the id 0, whose match pycocotools takes for none


class Found(NamedTuple):
    """Detections, sorted by cell, then by falling score."""

    cell: ndarray
    xywh: ndarray
    score: ndarray


class Matches(NamedTuple):
    """What became of each detection, (detections, area ranges, IoU thresholds)."""

    is_true: ndarray
    is_ignored: ndarray


def ranks(sorted_keys: ndarray) -> ndarray:
    """Number the elements of each run of equal keys from 0."""
    return np.arange(len(sorted_keys)) - np.searchsorted(sorted_keys, sorted_keys)


def pairs(left: ndarray, right: ndarray) -> Iterator[tuple[ndarray, ndarray]]:
    """Indices of all pairs with equal keys, in blocks; both sides sorted."""
    first = np.searchsorted(right, left)
    count = np.searchsorted(right, left, 'right') - first
    borders = np.searchsorted(np.cumsum(count), np.arange(PAIRS_A_BLOCK, count.sum(), PAIRS_A_BLOCK))
    for part in np.split(np.arange(len(left)), borders):
        which = np.repeat(part, count[part])
        yield which, first[which] + ranks(which)


def overlaps(found: ndarray, truth: ndarray, is_crowd: ndarray) -> ndarray:
    """IoU of pairs of boxes (n, 4) as x, y, width, height; of a crowd, the share of the detection in it."""
    high = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    width, height = np.maximum(high - np.maximum(found[:, :2], truth[:, :2]), 0).T
    shared = width * height
    own = found[:, 2] * found[:, 3]
    union = np.where(is_crowd, own, own + truth[:, 2] * truth[:, 3] - shared)
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def near_pairs(found: Found, truth: Objects, least: float) -> tuple[ndarray, ndarray, ndarray]:
    """Pairs with an IoU of at least ``least``: index of the detection, of the object, and their IoU."""
    kept = []
    for which, whose in pairs(found.cell, truth.cell):
        overlap = overlaps(found.xywh[which], truth.xywh[whose], truth.is_crowd[whose])
        near = overlap >= least
        kept.append((which[near], whose[near], overlap[near]))
    which, whose, overlap = (np.concatenate(columns) for columns in zip(*kept, strict=True))
    return which, whose, overlap


def outside(area: ndarray, area_ranges: ndarray) -> ndarray:
    """Whether areas (n,) are out of each range (a, 2): (n, a)."""
    return (area[:, None] < area_ranges[:, 0]) | (area[:, None] > area_ranges[:, 1])


def match(found: Found, truth: Objects, thresholds: ndarray, area_ranges: ndarray) -> Matches:
    """Give each detection, best first, the object that it overlaps most and that is still free.

    An object that counts goes before an ignored one, and of equal overlaps the later object wins. Crowds stay free.
    """
    thresholds = np.minimum(thresholds, SELDOM_ONE)
    ignored = outside(truth.area, area_ranges) | truth.is_crowd[:, None]
    shape = (len(area_ranges), len(thresholds))
    free = np.ones((len(truth.cell), *shape), bool)
    matched = np.zeros((len(found.cell), *shape), bool)
    is_ignored = np.repeat(outside(found.xywh[:, 2] * found.xywh[:, 3], area_ranges)[..., None], shape[1], -1)
    which, whose, overlap = near_pairs(found, truth, thresholds.min())
    names, position = np.unique(which, return_inverse=True)
    turn = ranks(found.cell[names])[position]  # detections of one turn are in different cells
    order = np.lexsort((whose, overlap, which, turn))
    which, whose, overlap, turn = (column[order] for column in (which, whose, overlap, turn))
    for start, stop in pairwise(np.searchsorted(turn, np.arange(turn.max(initial=-1) + 2))):
        detection, thing = which[start:stop], whose[start:stop]
        fits = overlap[start:stop, None, None] >= thresholds
        fits = fits & (free[thing] | truth.is_crowd[thing, None, None])
        # the later the better, objects that count after all ignored ones
        preference = np.arange(stop - start)[:, None] + (stop - start) * ~ignored[thing]
        first = np.flatnonzero(np.diff(detection, prepend=-1))
        best = np.maximum.reduceat(np.where(fits, preference[..., None], -1), first)
        winner, hit = thing[best % (stop - start)], best >= 0
        detection, areas = detection[first], np.arange(shape[0])[:, None]
        matched[detection] = hit & truth.is_counted[winner]
        is_ignored[detection] &= ~matched[detection]
        is_ignored[detection] |= hit & ignored[winner, areas]
        _, area, threshold = np.nonzero(hit)
        free[winner[hit], area, threshold] = False
    return Matches(matched & ~is_ignored, is_ignored)


def curves(score: ndarray, matches: Matches, num_objects: int, recalls: ndarray) -> tuple[ndarray, ndarray]:
    """Precision at each recall, (thresholds, recalls), and the highest recall, of detections in one area range."""
    order = np.argsort(-score, kind='stable')
    is_true, is_ignored = (part[order].T for part in matches)
    true = np.cumsum(is_true, 1, dtype=float)
    false = np.cumsum(~is_true & ~is_ignored, 1, dtype=float)
    recall = true / num_objects
    precision = true / (false + true + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    precision = np.pad(precision, ((0, 0), (0, 1)))  # zero beyond the highest recall
    at = [np.searchsorted(row, recalls) for row in recall]
    return np.take_along_axis(precision, np.stack(at), 1), recall[:, -1] if len(score) else np.zeros(len(recall))


def precision_and_recall(found: Found, truth: Objects, num_images: int, params: Any) -> dict[str, ndarray]:
    """What pycocotools' ``COCOeval.accumulate`` computes.

    Args:
        found: Cells are ``category * num_images + image``, here and in ``truth``.
        truth: The objects.
        num_images: Number of images.
        params: Of a ``COCOeval``: thresholds, recalls, areas, categories, and ``maxDets`` in rising order.

    Returns:
        ``'precision'`` by threshold, recall, category, area and limit, ``'recall'`` by all but the recall; both -1
        without an object.
    """
    rank = ranks(found.cell)
    kept = rank < params.maxDets[-1]
    found, rank = Found(*(column[kept] for column in found)), rank[kept]
    areas, recalls = np.array(params.areaRng), np.array(params.recThrs)
    matches = match(found, truth, np.array(params.iouThrs), areas)
    limits = np.minimum(params.maxDets, rank.max(initial=0) + 1)
    counted = ~outside(truth.area, areas) & ~truth.is_crowd[:, None]
    shape = (len(params.catIds), len(areas), len(limits))
    precision = np.full((len(params.iouThrs), len(recalls), *shape), -1.0)
    recall = np.full((len(params.iouThrs), *shape), -1.0)
    borders = np.arange(len(params.catIds) + 1) * num_images
    of_found, of_truth = (pairwise(np.searchsorted(side.cell, borders)) for side in (found, truth))
    for category, (mine, theirs) in enumerate(zip(of_found, of_truth, strict=True)):
        for area, num_objects in enumerate(counted[slice(*theirs)].sum(0)):
            for limit in np.unique(limits) if num_objects else ():
                chosen = np.arange(*mine)[rank[slice(*mine)] < limit]
                of_area = Matches(*(part[chosen, area] for part in matches))
                values, highest = curves(found.score[chosen], of_area, num_objects, recalls)
                columns = np.flatnonzero(limits == limit)
                precision[:, :, category, area, columns] = values[..., None]
                recall[:, category, area, columns] = highest[:, None]
    return {'precision': precision, 'recall': recall}
