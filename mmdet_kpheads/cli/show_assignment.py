"""Draw what AutoAssign has learned: the center prior per class, and the points assigned to each object."""

import argparse
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import cv2
import mmdet.datasets  # noqa: F401  before the run: what is imported in it can print
import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mmdet_kpheads_cli.parsers import parse

from ..data.visualization import (
    FONT,
    FONT_SCALE,
    GROUND_TRUTH_COLOR,
    blend,
    colors,
    draw_boxes,
    enlarge,
    montage,
    side_by_side,
)
from ..errors import InputError
from ..fitting import load_whole
from ..functional.autoassign import log_center_prior, precision_of
from ..heads import AutoAssignHead, CenterPrior
from . import arguments, config_checks
from .failures import config_errors

PRIOR_REACH = 4.0  # strides shown on each side of the box center
PRIOR_PX = 201  # side of the plot of a class
COLUMNS = 5
WHITE = (255, 255, 255)


def draw_prior(
    prior: CenterPrior, classes: tuple[str, ...], shown: Sequence[int] | None = None, columns: int = COLUMNS
) -> np.ndarray:
    """The learned Gaussian of each class around the center of a box, four strides to each side.

    Args:
        prior: Of all classes.
        classes: Names.
        shown: Indices of the classes to draw; None for all.
        columns: Of the sheet.
    """
    step = torch.linspace(-PRIOR_REACH, PRIOR_REACH, PRIOR_PX)
    offset = torch.stack(torch.meshgrid(step, step, indexing='xy'))  # (2, P, P) as x, y
    plots = []
    for index in range(len(classes)) if shown is None else shown:
        name, mean, sigma = classes[index], prior.mean[index].detach(), prior.sigma[index].detach()
        log_prior = log_center_prior(offset, mean[:, None, None], precision_of(sigma)[:, None, None])
        plot = colors(log_prior.exp().numpy())
        center = (PRIOR_PX // 2, PRIOR_PX // 2)
        cv2.drawMarker(plot, center, WHITE, cv2.MARKER_CROSS, 13, 1)
        spread = sigma.abs()
        lines = (name, f'mu {mean[0]:+.2f} {mean[1]:+.2f}', f'sigma {spread[0]:.2f} {spread[1]:.2f}')
        for text, y in zip(lines, (16, PRIOR_PX - 22, PRIOR_PX - 6), strict=True):
            cv2.putText(plot, text, (5, y), FONT, FONT_SCALE, WHITE, 1, cv2.LINE_AA)
        plots.append(plot)
    return montage(plots, min(columns, len(plots)))


def weight_pictures(
    image: np.ndarray, instances: Any, levels: list[Tensor], strides: Sequence[int], classes: tuple[str, ...]
) -> list[np.ndarray]:
    """The image with its objects, and per level the positive weights of its points.

    Args:
        image: (H, W, 3) BGR; the maps may be larger by the padding of the network input.
        instances: Its objects.
        levels: (H', W') weights in [0, 1] of each level.
        strides: Pixels per cell of each level.
        classes: Names.
    """
    large, factor = enlarge(image)
    boxes = np.array(instances.bboxes.tolist(), dtype=float).reshape(-1, 4) * factor
    pictures = [draw_boxes(large, boxes, [classes[label] for label in instances.labels], GROUND_TRUTH_COLOR)]
    for number, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        side = stride * factor
        # a point is the corner of its cell, and is shown as the square around it
        weights = np.kron(level.numpy(), np.ones((side, side)))[side // 2 :, side // 2 :]
        weights = weights[: large.shape[0], : large.shape[1]]
        weights = np.pad(weights, [(0, full - part) for full, part in zip(large.shape[:2], weights.shape, strict=True)])
        blended = draw_boxes(blend(large, weights), boxes, [''] * len(boxes), GROUND_TRUTH_COLOR)
        cv2.putText(blended, f'level {number}', (4, 16), FONT, FONT_SCALE, WHITE, 1, cv2.LINE_AA)
        pictures.append(blended)
    return pictures


def weights_of_image(cfg: Config, model: Any, number: int) -> tuple[np.ndarray, Any, list[Tensor], tuple[str, ...]]:
    """Compute the positive weights of a training image.

    Returns:
        The image after the training pipeline, its objects, the weights by level, the class names.

    Raises:
        InputError: If the dataset has no such image.
    """
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if not 0 <= number < len(dataset):
        raise InputError(f'--image must be from 0 to {len(dataset) - 1}, but is {number}')
    item = dataset[number]
    data = model.data_preprocessor(pseudo_collate([item]), training=True)
    sample = data['data_samples'][0]
    with torch.no_grad():
        maps = model.bbox_head(model.extract_feat(data['inputs']))
        levels = model.bbox_head.positive_weights(*maps, [sample.gt_instances], [sample.metainfo])
    image = item['inputs'].permute(1, 2, 0).numpy()  # without the padding of the network input
    return image, sample.gt_instances, [level[0] for level in levels], dataset.metainfo['classes']


def main(argv: list[str] | None = None) -> None:
    """Draw.

    Raises:
        InputError: If the config has another head, or the checkpoint or the image does not exist.
    """
    args = parse('show-assignment', argv)
    cfg = arguments.load_config(args)
    config_checks.require_keys(cfg, 'model', 'train_dataloader')
    arguments.require_checkpoint(args.checkpoint)
    folder = arguments.require_folder('--out', args.out)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with config_errors(cfg):
        draw(cfg, args, folder)
    print(f'center_prior.png and positive_weights.png are in {folder}')


def draw(cfg: Config, args: argparse.Namespace, folder: Path) -> None:
    """Build the detector and write both pictures.

    Raises:
        InputError: As :func:`main`.
    """
    model = MODELS.build(cfg.model)
    if not isinstance(model.bbox_head, AutoAssignHead):
        raise InputError(f'{args.config} has a {type(model.bbox_head).__name__}: only AutoAssignHead learns a prior')
    load_whole(model, CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu'), args.checkpoint, args.config)
    model.eval()
    torch.manual_seed(0)
    image, instances, levels, classes = weights_of_image(cfg, model, args.image)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / 'center_prior.png'), draw_prior(model.bbox_head.center_prior, classes))
    pictures = weight_pictures(image, instances, levels, model.bbox_head.strides, classes)
    cv2.imwrite(str(folder / 'positive_weights.png'), reduce(side_by_side, pictures))
