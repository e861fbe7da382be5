"""AP by class, size and threshold against mmdet's metric; categories that are not sorted, crowds."""

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric as MMDetMetric

from mmdet_kpheads.report import evaluated
from mmdet_kpheads.report.detection_statistics import assign
from mmdet_kpheads.report.judged import Judged
from mmdet_kpheads.report.pictures import count_errors, kinds, worst_first
from tests.evaluation.test_coco_metric import CLASSES, metrics_of, scene

SIZES = {'small': 'bbox_mAP_s', 'medium': 'bbox_mAP_m', 'large': 'bbox_mAP_l'}


def scored(tmp_path, seed):
    """What the report knows about a random scene, the annotations and the detections."""
    document, found = scene(seed)
    _, own = metrics_of(tmp_path / 'annotations.json', document)
    with evaluated.quiet():
        seen = evaluated.summarized(
            own, [({}, image) for image in found], {image['img_id']: '' for image in found}, None, {}
        )
    return seen, document, found


def mmdets(tmp_path, found, classes):
    """The metrics that mmdet computes for some of the classes alone."""
    theirs = MMDetMetric(ann_file=str(tmp_path / 'annotations.json'))
    theirs.dataset_meta = dict(classes=classes)
    results: list = []
    for image in found:
        kept = np.isin(image['labels'], [CLASSES.index(name) for name in classes])
        labels = np.array([classes.index(CLASSES[label]) for label in image['labels'][kept]], int)
        columns = {key: image[key][kept] for key in ('bboxes', 'scores')}
        results.append(({}, dict(columns, labels=labels, img_id=image['img_id'])))
    with evaluated.quiet():
        return theirs.compute_metrics(results)


@pytest.mark.parametrize('seed', range(3))
def test_averages_are_those_of_mmdet(seed, tmp_path):
    seen, document, found = scored(tmp_path, seed)
    expected = mmdets(tmp_path, found, CLASSES)
    assert seen.classes == ('b', 'c', 'a', 'd') and seen.labels == (1, 2, 0, 3)  # by the ids 3, 7, 11, 20
    assert round(seen.average(), 3) == expected['bbox_mAP']
    assert round(seen.average(iou=0.5), 3) == expected['bbox_mAP_50']
    assert round(seen.average(iou=0.75), 3) == expected['bbox_mAP_75']
    for size, key in SIZES.items():
        assert round(seen.average(size=size), 3) == expected[key]
    for index, name in enumerate(seen.classes):  # not by ``classwise``, which mixes up classes whose ids are not sorted
        value = mmdets(tmp_path, found, (name,))['bbox_mAP']
        assert round(np.nan_to_num(seen.average(index), nan=-1), 3) == value, name
    counted = [item['category_id'] for item in document['annotations'] if not item['iscrowd']]
    assert seen.num_objects.tolist() == [counted.count(number) for number in (3, 7, 11, 20)]
    assert seen.recall_curve(3) is None  # of 'd' there is none


def test_area_below_the_curve_is_the_ap(tmp_path):
    """AP at 0.5 is the mean precision at 101 recalls, 0 beyond the highest one."""
    seen, *_ = scored(tmp_path, 0)
    recall, precision = seen.recall_curve(0)
    assert precision.sum() / 101 == pytest.approx(seen.average(0, 0.5))
    assert (np.diff(recall) > 0).all() and (np.diff(precision) <= 0).all()


def test_best_threshold_is_what_a_search_finds(tmp_path):
    judged = Judged(scored(tmp_path, 1)[0])
    score, is_true, objects = judged.outcomes()
    values = {}
    for threshold in np.unique(score):
        kept = is_true[score >= threshold]
        values[threshold] = 2 * kept.sum() / (len(kept) + objects)
    assert judged.best.f1 == pytest.approx(max(values.values())) and judged.best.score == max(values, key=values.get)
    assert judged.found.score.min() == judged.best.score  # the threshold itself is kept
    assert judged.threshold == judged.best.score and Judged(judged.evaluated, 0.25).threshold == 0.25


@pytest.mark.parametrize('seed', range(3))
def test_errors_of_images_add_up_to_the_matrix(seed, tmp_path):
    judged = Judged(scored(tmp_path, seed)[0], 0.3)
    matrix, errors = judged.matrix, judged.errors
    assert errors.missed.sum() == matrix[:-1, -1].sum() and errors.false.sum() == matrix[-1, :-1].sum()
    diagonal = np.diag(matrix)[:-1].sum()
    assert errors.confused.sum() == matrix[:-1, :-1].sum() - diagonal and diagonal == judged.kinds.correct.sum()
    assert errors.objects.sum() == judged.evaluated.num_objects.sum()
    order = worst_first(errors)
    assert (np.diff(errors.total[order]) <= 0).all() and set(np.flatnonzero(errors.total)) == set(order)


def test_what_is_inside_a_crowd_is_no_error(tmp_path):
    seen = scored(tmp_path, 2)[0]
    assigned = assign(seen.found, seen.truth, seen.num_images, 0.5)
    sorted_out = kinds(seen.found, seen.truth, assigned, seen.num_images)
    assert (assigned == -2).any() and not sorted_out.false[assigned == -2].any()
    assert not sorted_out.missed[seen.truth.is_crowd].any()
    assert count_errors(seen.found, seen.truth, sorted_out, seen.num_images).total.sum() > 0
