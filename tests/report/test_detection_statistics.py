"""Hand-worked numbers, and slow loops that say the same."""

import numpy as np
import pytest

from mmdet_kpheads.evaluation.box_matching import Found, Objects
from mmdet_kpheads.report import detection_statistics as statistics
from mmdet_kpheads.report.detection_statistics import ALONE, IN_CROWD

IMAGES = 2


def objects(*rows, crowd=()):
    """Objects from rows of category, image and xywh."""
    boxes = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    is_crowd = np.isin(np.arange(len(rows)), crowd)
    cell = np.array([row[0] * IMAGES + row[1] for row in rows], int)
    return Objects(cell, boxes, boxes[:, 2:].prod(1), is_crowd, np.ones(len(rows), bool))


def detections(*rows):
    """Detections from rows of score, category, image and xywh."""
    boxes = np.array([row[3:] for row in rows], float).reshape(-1, 4)
    cell = np.array([row[1] * IMAGES + row[2] for row in rows], int)
    return Found(cell, boxes, np.array([row[0] for row in rows], float))


def test_f1_by_hand():
    """Three objects; true, false, true at 0.9, 0.8, 0.7: F1 is 2 / (1 + 3), 2 / (2 + 3), 4 / (3 + 3)."""
    scores, f1, precision, recall = statistics.f1_curve(
        np.array([0.7, 0.9, 0.8]), np.array([True, True, False]), num_objects=3
    )
    assert scores.tolist() == [0.9, 0.8, 0.7]
    assert f1.tolist() == pytest.approx([2 / 4, 2 / 5, 4 / 6])
    assert precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3]) and recall.tolist() == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3]
    )


def test_equal_scores_are_kept_together():
    scores, f1, *_ = statistics.f1_curve(np.array([0.5, 0.5]), np.array([True, False]), 1)
    assert scores.tolist() == [0.5] and f1.tolist() == pytest.approx([2 / 3])


def test_best_threshold_is_the_highest_of_equal_ones():
    """True at 0.9, then false, true: with two objects F1 is 2/3, 1/2, 4/5; without the last one 2/3 is the best."""
    score, is_true = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    best = statistics.best_threshold(score, is_true, 2)
    assert best == pytest.approx((0.7, 0.8, 2 / 3, 1.0))
    assert statistics.best_threshold(score[:2], is_true[:2], 2) == pytest.approx((0.9, 2 / 3, 1.0, 0.5))
    tied = statistics.best_threshold(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, False, True]), 1)
    assert tied is not None and tied.score == 0.9


@pytest.mark.parametrize('number', [0, 3])
def test_no_threshold_without_a_true_detection(number):
    assert statistics.best_threshold(np.linspace(0.1, 0.9, number), np.zeros(number, bool), 5) is None


@pytest.mark.parametrize('seed', range(5))
def test_f1_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    score, is_true, objects_there = rng.integers(0, 10, 40) / 10, rng.random(40) < 0.5, 30
    scores, f1, precision, recall = statistics.f1_curve(score, is_true, objects_there)
    assert scores.tolist() == sorted(set(score.tolist()), reverse=True)
    for index, threshold in enumerate(scores):
        kept = is_true[score >= threshold]
        true, false, missed = kept.sum(), (~kept).sum(), objects_there - kept.sum()
        assert f1[index] == pytest.approx(2 * true / (2 * true + false + missed))
        assert precision[index] == pytest.approx(true / len(kept)) and recall[index] == pytest.approx(
            true / objects_there
        )


def test_reliability_by_hand():
    """Bins of 0.5: scores 0.2, 0.4 with none true, 0.6, 1.0 with one true: |0 - 0.3| / 2 + |0.5 - 0.8| / 2 = 0.3."""
    found = statistics.reliability(np.array([0.2, 0.4, 0.6, 1.0]), np.array([False, False, True, False]), bins=2)
    assert found.score.tolist() == pytest.approx([0.3, 0.8]) and found.precision.tolist() == [0, 0.5]
    assert found.number.tolist() == [2, 2] and found.error == pytest.approx(0.3)


def test_reliability_of_calibrated_scores_and_of_none():
    rng = np.random.default_rng(0)
    score = rng.random(20000)
    assert statistics.reliability(score, rng.random(20000) < score).error < 0.02
    empty = statistics.reliability(np.zeros(0), np.zeros(0, bool))
    assert empty.error == 0 and np.isnan(empty.score).all() and not empty.number.any()


def test_a_detection_takes_an_object_of_its_class_first():
    truth = objects((0, 0, 0, 0, 10, 10), (1, 0, 0, 0, 10, 10))
    found = detections((0.9, 1, 0, 0, 0, 10, 10), (0.8, 1, 0, 0, 0, 10, 10), (0.7, 0, 0, 0, 0, 10, 10))
    # the best takes its class, the second what is left and is confused, the third finds nothing free
    assert statistics.assign(found, truth, IMAGES, 0.5).tolist() == [1, 0, ALONE]


def test_images_do_not_mix_and_overlap_counts():
    truth = objects((0, 1, 0, 0, 10, 10), (0, 0, 100, 100, 10, 10))
    found = detections((0.9, 0, 0, 0, 0, 10, 10), (0.5, 0, 1, 0, 0, 10, 10), (0.4, 0, 0, 106, 100, 10, 10))
    # the first is in another image; the last overlaps by 40 of 160 pixels
    assert statistics.assign(found, truth, IMAGES, 0.5).tolist() == [ALONE, 0, ALONE]
    assert statistics.assign(found, truth, IMAGES, 0.25).tolist() == [ALONE, 0, 1]


def test_inside_a_crowd_nothing_is_false():
    truth = objects((0, 0, 0, 0, 100, 100), (0, 0, 0, 0, 10, 10), crowd=[0])
    found = detections((0.9, 0, 0, 0, 0, 10, 10), (0.8, 0, 0, 0, 0, 10, 10), (0.7, 0, 0, 200, 0, 10, 10))
    assigned = statistics.assign(found, truth, IMAGES, 0.5)
    assert assigned.tolist() == [1, IN_CROWD, ALONE]
    matrix = statistics.confusion_matrix(found.cell // IMAGES, truth.cell // IMAGES, truth.is_crowd, assigned, 1)
    assert matrix.tolist() == [[1, 0], [1, 0]]


def slow_assign(found, truth, iou):
    """The rule, detection by detection."""
    taken, chosen = set(), [ALONE] * len(found.cell)

    def overlap(box, other):
        low, high = np.maximum(box[:2], other[:2]), np.minimum(box[:2] + box[2:], other[:2] + other[2:])
        shared = np.prod(np.maximum(high - low, 0))
        return shared / (box[2] * box[3] + other[2] * other[3] - shared)

    for index in np.argsort(-found.score, kind='stable'):
        best = None
        for thing in range(len(truth.cell)):
            if thing in taken or truth.cell[thing] % IMAGES != found.cell[index] % IMAGES:
                continue
            value = overlap(found.xywh[index], truth.xywh[thing])
            key = (truth.cell[thing] == found.cell[index], value)
            if value >= iou and (best is None or key > best[0]):
                best = key, thing
        if best:
            chosen[index] = best[1]
            taken.add(best[1])
    return chosen


@pytest.mark.parametrize('seed', range(10))
def test_assignment_and_matrix_against_loops(seed):
    rng = np.random.default_rng(seed)
    truth = objects(*[(*rng.integers(0, (3, IMAGES)), *rng.random(2) * 10, *10 + rng.random(2) * 9) for _ in range(12)])
    found = detections(
        *[
            (rng.random(), *rng.integers(0, (3, IMAGES)), *rng.random(2) * 10, *10 + rng.random(2) * 9)
            for _ in range(20)
        ]
    )
    assigned = statistics.assign(found, truth, IMAGES, 0.5)
    assert assigned.tolist() == slow_assign(found, truth, 0.5)
    matrix = statistics.confusion_matrix(found.cell // IMAGES, truth.cell // IMAGES, truth.is_crowd, assigned, 3)
    expected = np.zeros((4, 4), int)
    for index, thing in enumerate(assigned):
        expected[truth.cell[thing] // IMAGES if thing >= 0 else 3, found.cell[index] // IMAGES] += 1
    for thing in set(range(12)) - set(assigned.tolist()):
        expected[truth.cell[thing] // IMAGES, 3] += 1
    assert (matrix == expected).all()
    assert matrix[:3].sum() == 12 and matrix[:, :3].sum() == 20  # each object and each detection once


def test_top_confusions_and_classes_with_most():
    matrix = np.array([[9, 2, 1], [0, 9, 5], [4, 0, 0]])
    assert statistics.top_confusions(matrix, 3) == [(1, 2, 5), (2, 0, 4), (0, 1, 2)]
    assert statistics.top_confusions(np.eye(3, dtype=int), 3) == []
    assert statistics.sparse_classes(matrix, 1).tolist() == [0]  # 7, and 7 for the other: of equal ones the first
    assert statistics.sparse_classes(matrix, 5).tolist() == [0, 1]


def test_nothing_at_all():
    found, truth = detections(), objects()
    assigned = statistics.assign(found, truth, IMAGES, 0.5)
    assert assigned.shape == (0,)
    assert not statistics.confusion_matrix(found.cell, truth.cell, truth.is_crowd, assigned, 2).any()
