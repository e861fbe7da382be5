"""Runs a detector over an annotated set once, and matches its detections with the objects."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from numpy import ndarray
from rich.progress import track

from ..errors import InputError
from ..evaluation import CocoMetric
from ..evaluation.box_matching import Found, Matches, Objects, match, precision_and_recall

META_KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'instances')
COCO_OPTIONS = ('ann_file', 'proposal_nums', 'iou_thrs')  # of a CocoMetric: what changes its numbers
AP_LIMIT = 100  # detections per image that pycocotools counts for AP
MATCH_IOU = 0.5  # of everything in the report that needs one threshold
SIZES = ('all', 'small', 'medium', 'large')  # pycocotools' areas, in its order


class Evaluated(NamedTuple):
    """Detections and objects of an annotated set, by category in the order of pycocotools."""

    classes: tuple[str, ...]
    labels: tuple[int, ...]  # of the model, by category
    paths: list[str]  # of the images
    positions: list[int]  # of the images in the dataset
    dataset: Any
    found: Found
    truth: Objects
    matches: Matches  # at MATCH_IOU without a limit of size: (D,)
    params: Any  # of pycocotools
    precision: ndarray  # (IoUs, recalls, C, areas, limits), -1 without an object
    recall: ndarray  # (IoUs, C, areas, limits)
    metrics: dict[str, float]  # of the config's evaluator

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.paths)

    @property
    def num_objects(self) -> ndarray:
        """Objects per category, (C,), without those that do not count."""
        category = self.truth.cell[~self.truth.is_crowd] // self.num_images
        return np.bincount(category, minlength=len(self.classes))

    def average(self, category: int | None = None, iou: float | None = None, size: str = 'all') -> float:
        """AP as in COCO; NaN without an object.

        Args:
            category: Index; None for the mean over those with objects.
            iou: One threshold; None for the mean over all.
            size: One of ``SIZES``.
        """
        limits = list(self.params.maxDets)
        limit = limits.index(AP_LIMIT) if iou is None and size == 'all' and AP_LIMIT in limits else -1
        values = self.precision[..., SIZES.index(size), limit]
        values = values if iou is None else values[np.isclose(self.params.iouThrs, iou)]
        values = values if category is None else values[:, :, category]
        values = values[values > -1]
        return float(values.mean()) if values.size else float('nan')

    def recall_curve(self, category: int) -> tuple[ndarray, ndarray] | None:
        """Recalls and precision of a category at ``MATCH_IOU``, up to its highest recall; None without an object."""
        which = int(np.abs(np.asarray(self.params.iouThrs) - MATCH_IOU).argmin())
        values, highest = self.precision[which, :, category, 0, -1], self.recall[which, category, 0, -1]
        if highest < 0:
            return None
        reached = np.asarray(self.params.recThrs) <= highest
        return np.asarray(self.params.recThrs)[reached], values[reached]


def evaluate(cfg: Config, model: Any, split: str = 'test', batch_size: int | None = None) -> Evaluated:
    """Predict the images of a split and compute the metrics of its evaluator.

    Args:
        cfg: With a dataloader and an evaluator of the split.
        model: Of ``inference.load_model``.
        split: ``'test'`` or ``'val'``.
        batch_size: Images per batch; None for that of the dataloader.

    Raises:
        InputError: If the split has no annotations.
    """
    with quiet():
        loader = build_loader(cfg[f'{split}_dataloader'], batch_size)
        metric = coco_metric(cfg[f'{split}_evaluator'])
        evaluator = Evaluator(deepcopy(cfg[f'{split}_evaluator']))
    metric.dataset_meta = evaluator.dataset_meta = loader.dataset.metainfo
    paths: dict[Any, str] = {}
    for batch in track(loader, 'predict'):
        with torch.no_grad():
            samples = model.test_step(batch)
        for sample in samples:
            paths[sample.img_id] = sample.img_path
        evaluator.process(samples, batch)
        metric.process(batch, [sample.to_dict() for sample in samples])
    if not metric.results:
        raise InputError(f'the {split} set of {cfg.filename} has no images')
    results = list(metric.results)
    with quiet():
        return summarized(metric, results, paths, loader.dataset, evaluator.evaluate(len(results)))


def build_loader(dataloader: Mapping[str, Any], batch_size: int | None) -> Any:
    """A dataloader in the order of its dataset, whose samples have what the report reads."""
    options = deepcopy(dict(dataloader))
    for pipeline in pipelines(options['dataset']):
        pipeline[-1]['meta_keys'] = tuple(dict.fromkeys((*pipeline[-1].get('meta_keys', ()), *META_KEYS)))
    options['sampler'] = {'type': 'DefaultSampler', 'shuffle': False}
    options.pop('batch_sampler', None)
    options['batch_size'] = batch_size or options.get('batch_size', 1)
    return Runner.build_dataloader(options)


def pipelines(dataset: Mapping[str, Any]) -> Iterator[list]:
    """The pipelines of a dataset config and of those inside it."""
    if dataset.get('pipeline'):
        yield dataset['pipeline']
    for inner in [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets', ()):
        yield from pipelines(inner)


def coco_metric(evaluator: Any) -> CocoMetric:
    """The COCO metric of an evaluator; where it has none, one that takes the objects from the images."""
    entries = evaluator if isinstance(evaluator, list | tuple) else [evaluator]
    own: Any = next((entry for entry in entries if str(entry.get('type')).endswith('CocoMetric')), {})
    return CocoMetric(metric='bbox', **{key: own[key] for key in COCO_OPTIONS if own.get(key) is not None})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the tables of metrics off the screen: the report has them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def summarized(
    metric: CocoMetric, results: list, paths: dict[Any, str], dataset: Any, metrics: dict[str, float]
) -> Evaluated:
    """Match what a metric collected.

    Args:
        metric: Its ``dataset_meta`` is set.
        results: What it collected.
        paths: Image files by id, in the order of the dataset.
        dataset: Theirs.
        metrics: Of the config's evaluator.
    """
    found, truth, params = metric.sides(results)
    curves = precision_and_recall(found, truth, len(params.imgIds), params)
    whole = np.array([params.areaRng[0]])
    matches = match(found, truth, np.array([MATCH_IOU]), whole)
    labels = np.argsort(metric.cat_ids).tolist()
    classes = metric.dataset_meta['classes']
    positions = {key: position for position, key in enumerate(paths)}
    ids = params.imgIds.tolist()
    return Evaluated(
        tuple(classes[label] for label in labels),
        tuple(labels),
        [paths.get(key, '') for key in ids],
        [positions.get(key, -1) for key in ids],
        dataset,
        found,
        truth,
        Matches(*(part[:, 0, 0] for part in matches)),
        params,
        curves['precision'],
        curves['recall'],
        {key: float(value) for key, value in metrics.items() if isinstance(value, int | float | np.number)},
    )
