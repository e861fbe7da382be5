"""The metrics of a whole validation set: ours, which ``--fast`` takes, and mmdet's, on the same detections."""

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger
from numpy import ndarray

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from .contract import timed, timed_once

CPU = torch.device('cpu')  # where metrics are computed, whatever the device
COCO, VOC = (5000, 80), (4952, 20)  # images and classes
BOXES, DETECTIONS, SIZE_PX = 7, 100, 640
NEAR = 0.4  # share of the detections that are an object with noise


def boxes(number: int, rng: np.random.Generator) -> ndarray:
    """Random boxes of 8 to 300 pixels."""
    corner, side = rng.uniform(0, SIZE_PX, (number, 2)), np.exp(rng.uniform(np.log(8), np.log(300), (number, 2)))
    return np.concatenate((corner, corner + side), 1).astype(np.float32)


def images(number: int, classes: int) -> Iterator[tuple[dict[str, ndarray], dict[str, ndarray]]]:
    """Objects, about seven an image, and a hundred detections, best first."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        count = 1 + rng.poisson(BOXES - 1)
        truth = {'bboxes': boxes(count, rng), 'labels': rng.integers(classes, size=count)}
        which, near = rng.integers(count, size=DETECTIONS), rng.random(DETECTIONS) < NEAR
        moved = truth['bboxes'][which] + rng.normal(0, 4, (DETECTIONS, 4)).astype(np.float32)
        placed = np.where(near[:, None], moved, boxes(DETECTIONS, rng))
        placed[:, 2:] = np.maximum(placed[:, :2], placed[:, 2:])
        labels = np.where(near, truth['labels'][which], rng.integers(classes, size=DETECTIONS))
        scores = -np.sort(-rng.random(DETECTIONS, np.float32))
        yield truth, {'bboxes': placed, 'labels': labels, 'scores': scores}


def coco_results(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """An annotation file, and what CocoMetric collects; returns the arguments of the metric and the latter."""
    scene = list(images(*COCO))
    annotations = [
        {'image_id': number, 'category_id': int(label), 'bbox': [x, y, x2 - x, y2 - y], 'area': (x2 - x) * (y2 - y)}
        for number, (truth, _) in enumerate(scene)
        for (x, y, x2, y2), label in zip(truth['bboxes'].tolist(), truth['labels'], strict=True)
    ]
    document = {
        'images': [{'id': number} for number in range(COCO[0])],
        'annotations': [item | {'id': number, 'iscrowd': 0} for number, item in enumerate(annotations, 1)],
        'categories': [{'id': label, 'name': str(label)} for label in range(COCO[1])],
    }
    path.write_text(json.dumps(document))
    return {'ann_file': str(path)}, [({}, found | {'img_id': number}) for number, (_, found) in enumerate(scene)]


def voc_results() -> tuple[dict[str, Any], list[Any]]:
    """Arguments of VOCMetric, and what it collects."""
    results = []
    for truth, found in images(*VOC):
        rows = np.concatenate((found['bboxes'], found['scores'][:, None]), 1)
        ignored = {'bboxes_ignore': np.zeros((0, 4), np.float32), 'labels_ignore': np.zeros(0, int)}
        results.append((truth | ignored, [rows[found['labels'] == label] for label in range(VOC[1])]))
    return {'eval_mode': 'area'}, results


def measured(metric: Any, size: tuple[int, int], results: list[Any], once: bool = True) -> dict[str, Any]:
    """Time and memory of a metric."""
    metric.dataset_meta = {'classes': tuple(map(str, range(size[1])))}
    with contextlib.redirect_stdout(io.StringIO()):
        side = timed_once(lambda: metric.compute_metrics(results), CPU)
        return side if once else side | timed(lambda: metric.compute_metrics(results), CPU)


def row(name: str, size: tuple[int, int], **sides: Any) -> dict[str, Any]:
    """A metric of either package."""
    return {'what': name, 'size': f'{size[0]} images, {size[1]} classes, {DETECTIONS} detections per image', **sides}


def rows(_: torch.device) -> Iterator[dict[str, Any]]:
    """COCO, ours and mmdet's, which is computed once; VOC, which is mmdet's alone."""
    from mmdet.evaluation import CocoMetric as MMDetCocoMetric
    from mmdet.evaluation import VOCMetric

    from mmdet_kpheads.evaluation import CocoMetric

    MMLogger.get_current_instance().setLevel('ERROR')
    with tempfile.TemporaryDirectory() as folder:
        options, results = coco_results(Path(folder, 'truth.json'))
        ours = measured(CocoMetric(**options), COCO, results, once=False)
        mmdet = measured(MMDetCocoMetric(**options), COCO, results)
        yield row('CocoMetric', COCO, ours=ours, mmdet=mmdet, ratio=mmdet['median_ms'] / ours['median_ms'])
    options, results = voc_results()
    yield row('VOCMetric', VOC, ours=measured(VOCMetric(**options), VOC, results), note="mmdet's, unchanged")
