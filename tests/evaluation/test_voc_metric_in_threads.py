"""Our VOCMetric against mmdet's."""

from multiprocessing.process import BaseProcess

import numpy as np
import pytest
from mmdet.evaluation import VOCMetric as MMDetMetric
from mmdet.evaluation.functional import mean_ap

from mmdet_kpheads.evaluation import VOCMetric, voc_metric
from tests.evaluation.test_coco_metric import CLASSES, IDS, scene


def results():
    """With difficult objects, which are ignored."""
    document, found = scene(4)
    for image in found:
        truth = [item for item in document['annotations'] if item['image_id'] == image['img_id']]
        xywh = np.array([item['bbox'] for item in truth], np.float32).reshape(-1, 4)
        boxes = np.concatenate((xywh[:, :2], xywh[:, :2] + xywh[:, 2:]), 1)
        labels = np.array([IDS.index(item['category_id']) for item in truth], int)
        hard = np.array([item['iscrowd'] for item in truth], bool)
        annotation = dict(
            bboxes=boxes[~hard], labels=labels[~hard], bboxes_ignore=boxes[hard], labels_ignore=labels[hard]
        )
        detections = np.concatenate((image['bboxes'], image['scores'][:, None]), 1)
        yield annotation, [detections[image['labels'] == label] for label in range(len(CLASSES))]


def forbidden(*_):
    raise AssertionError('a process was started')


@pytest.mark.parametrize('options', [{}, dict(eval_mode='area', iou_thrs=[0.3, 0.5])])
def test_numbers_are_mmdets_without_processes(options, monkeypatch):
    pairs = list(results())
    values = []
    for kind in (MMDetMetric, VOCMetric):
        metric = kind(**options)
        metric.dataset_meta = dict(classes=CLASSES)
        values.append(metric.compute_metrics(pairs))
        monkeypatch.setattr(BaseProcess, 'start', forbidden)  # mmdet's comes first
    assert values[0] == values[1] and all(value > 0 for value in values[0].values())


@pytest.mark.parametrize('legacy', [False, True])
def test_scales_and_coordinates(legacy):
    annotations, detections = zip(*results(), strict=True)
    options = dict(scale_ranges=[(0, 64), (64, 1000)], use_legacy_coordinate=legacy, logger='silent')
    theirs, _ = mean_ap.eval_map(detections, annotations, **options)
    ours, _ = voc_metric.eval_map(detections, annotations, **options)
    assert ours == theirs and all(value > 0 for value in ours)
