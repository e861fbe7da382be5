"""Our CocoMetric against mmdet's: equal precision and recall, not only equal rounded means."""

import json

import numpy as np
import pytest
from mmdet.evaluation import CocoMetric as MMDetMetric
from pycocotools.cocoeval import COCOeval

from mmdet_kpheads.errors import InputError
from mmdet_kpheads.evaluation import CocoMetric, box_matching

CLASSES = tuple('abcd')
IDS = (11, 3, 7, 20)  # of the categories: not sorted, and a file has others


def boxes(rng, number):
    """Whole numbers, so that overlaps tie; of 8 to 160 pixels, so that all three areas occur."""
    side = 8 * rng.integers(1, 21, (number, 2))
    corner = 8 * rng.integers(0, 20, (number, 2))
    return np.concatenate((corner, corner + side), 1).astype(np.float32)


def scene(seed, images=25):
    """Annotations as in a file, and detections near and far from them; scores tie."""
    rng = np.random.default_rng(seed)
    annotations: list = []
    found: list = []
    for image in range(images):
        number = int(rng.integers(0, 8)) if image % 5 else 0
        truth, labels = boxes(rng, number), rng.integers(len(CLASSES) - 1, size=number)  # 'd' is never there
        for box, label in zip(truth.tolist(), labels, strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            annotations.append(
                dict(
                    id=len(annotations),  # from 0, which pycocotools takes for unmatched
                    image_id=100 - image,
                    category_id=IDS[label],
                    bbox=[*box[:2], width, height],
                    area=width * height * rng.choice([0.5, 1.0]),
                    iscrowd=int(rng.random() < 0.2),
                )
            )
        near = rng.integers(number, size=12 if number else 0)
        offset = 4 * rng.integers(-2, 3, (len(near), 4))
        far = 6 if image % 4 else 0
        detected = np.concatenate((truth[near] + offset.astype(np.float32), boxes(rng, far)))
        found.append(
            dict(
                img_id=100 - image,
                bboxes=np.concatenate((np.minimum(detected[:, :2], detected[:, 2:]), detected[:, 2:]), 1),
                labels=np.concatenate((labels[near], rng.integers(len(CLASSES), size=far))),
                scores=rng.integers(1, 9, len(detected)).astype(np.float32) / 10,
            )
        )
    categories = [dict(id=number, name=name) for number, name in zip((*IDS, 5), (*CLASSES, 'other'), strict=True)]
    shapes = [dict(id=100 - image, width=320, height=320, file_name='') for image in range(images)]
    return dict(images=shapes, categories=categories, annotations=annotations), found


@pytest.fixture
def evaluations(monkeypatch):
    """Every COCOeval that was summarized."""
    kept, summarize = [], COCOeval.summarize

    def record(self):
        kept.append(self.eval)
        summarize(self)

    monkeypatch.setattr(COCOeval, 'summarize', record)
    return kept


def metrics_of(path, document, **options):
    """Mmdet's metric and ours."""
    path.write_text(json.dumps(document))
    for kind in (MMDetMetric, CocoMetric):
        metric = kind(ann_file=str(path), **options)
        metric.dataset_meta = dict(classes=CLASSES)
        yield metric


@pytest.mark.parametrize('seed', [0, 1, 2])
@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(proposal_nums=(100, 1, 10)),
        dict(proposal_nums=(4, 2, 3), iou_thrs=np.array([0.3, 0.5, 0.75, 1.0]), metric_items=['mAP_50', 'AR@1000']),
    ],
)
def test_numbers_are_mmdets(seed, options, tmp_path, evaluations, monkeypatch):
    monkeypatch.setattr(box_matching, 'PAIRS_A_BLOCK', 64)
    document, found = scene(seed)
    results: list = [({}, image) for image in found]
    theirs, ours = (metric.compute_metrics(results) for metric in metrics_of(tmp_path / 'a.json', document, **options))
    for name in ('precision', 'recall'):
        np.testing.assert_allclose(evaluations[1][name], evaluations[0][name], rtol=0, atol=1e-12)
    assert ours == theirs and all(type(value) is float for value in ours.values())
    assert 0 < ours['bbox_mAP_50'] < 1 and (evaluations[1]['recall'] == -1).any()


@pytest.mark.parametrize('options', [dict(classwise=True), dict(metric=['bbox', 'proposal'])])
def test_other_options_are_mmdets(options, tmp_path):
    document, found = scene(0)
    results: list = [({}, image) for image in found]
    theirs, ours = (metric.compute_metrics(results) for metric in metrics_of(tmp_path / 'a.json', document, **options))
    assert ours == pytest.approx(theirs, nan_ok=True) and len(ours) > 6


def test_ground_truth_may_come_with_the_images():
    """As from VOC's XML files, whose images have names."""
    _, found = scene(3)
    results: list = []
    for image in found:
        truth = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0)
            for box, label in zip(image['bboxes'][:3], image['labels'], strict=False)
        ]
        name = f'2007_{image["img_id"]:06}'
        results.append((dict(img_id=name, width=320, height=320, anns=truth), image | dict(img_id=name)))
    values: list = []
    for kind in (MMDetMetric, CocoMetric):
        metric = kind()
        metric.dataset_meta = dict(classes=CLASSES)
        values += [metric.compute_metrics(results), metric.compute_metrics(results)]  # the second uses the same truth
    assert values[0]['bbox_mAP'] > 0 and values == [values[0]] * 4


def test_no_detection_at_all(tmp_path):
    document, found = scene(0)
    nothing: list = [
        ({}, {name: value if name == 'img_id' else value[:0] for name, value in image.items()}) for image in found
    ]
    for metric in metrics_of(tmp_path / 'a.json', document):
        assert metric.compute_metrics(nothing) == {}


def test_an_image_that_the_annotations_lack_is_named(tmp_path):
    document, found = scene(0)
    _, metric = metrics_of(tmp_path / 'a.json', document)
    with pytest.raises(InputError, match='detections in image 999, which the annotations lack: check ann_file'):
        metric.compute_metrics([({}, image | dict(img_id=999)) for image in found[1:]])
