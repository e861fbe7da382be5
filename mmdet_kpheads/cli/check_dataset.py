"""Report what the dataset of a config holds and what is wrong with it."""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch

from mmdet_kpheads_cli.parsers import parse

from ..data.annotations import AnnotatedImage
from ..data.check import all_problems, problem_list, report
from ..data.dataset_sources import DatasetSource, dataset_sources
from ..data.image_files import image_file_problems
from ..data.visualization import GROUND_TRUTH_COLOR, blend, draw_boxes, read_enlarged, side_by_side
from ..errors import InputError
from ..functional.gaussian import draw as draw_gaussians
from ..structures import GroundTruth, MapGeometry
from ..targets.keypoints import center_targets
from . import arguments, config_checks


def target_map(image: AnnotatedImage, stride: int, longer_side: int | None) -> np.ndarray:
    """The target of CenterNetHead with its default radius: Gaussians of all objects, (H, W) in [0, 1].

    Args:
        image: The image.
        stride: Pixels of the network input per cell.
        longer_side: Length that the longer side is resized to; None for no resize.
    """
    scale = longer_side / max(1, *image.size) if longer_side else 1.0
    height, width = (max(1, math.ceil(side * scale / stride)) for side in image.size[::-1])
    input_size = (height * stride, width * stride)
    boxes = torch.tensor(image.boxes, dtype=torch.float32).reshape(-1, 4) * scale
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    ground_truth = GroundTruth.from_tensors([boxes], [labels], [input_size], 1, 'check-dataset')
    geometry = MapGeometry((height, width), input_size, ground_truth.extent_px)
    targets = center_targets(ground_truth, geometry, num_classes=1)
    heatmap: np.ndarray = draw_gaussians(targets.gaussians)[0, 0].numpy()
    return heatmap


def draw(source: DatasetSource, images: list[AnnotatedImage], args: argparse.Namespace) -> None:
    """Write images that can be read as PNG files: boxes on the left, the target heat map on the right."""
    folder = Path(args.show_dir)
    folder.mkdir(parents=True, exist_ok=True)
    unusable = {problem.where for problem in image_file_problems(images, source.decoding()) if problem.fatal}
    for image in (image for image in images if image.entry not in unusable):
        pixels, factor = read_enlarged(image.path)
        boxes = np.array(image.boxes).reshape(-1, 4) * factor
        left = draw_boxes(pixels, boxes, image.names, GROUND_TRUTH_COLOR)
        heat = blend(pixels, target_map(image, args.stride, args.longer_side))
        right = draw_boxes(heat, boxes, [''] * len(boxes), GROUND_TRUTH_COLOR)
        _, content = cv2.imencode('.png', side_by_side(left, right))
        (folder / f'{image.path.stem}.png').write_bytes(content.tobytes())


def show(source: DatasetSource, args: argparse.Namespace) -> int:
    """Print the report of one dataset and return the number of its fatal errors."""
    try:
        annotations = source.read()
    except InputError as error:
        print(f'  ERROR: {error}')
        return 1
    print(report(annotations, source.classes, args.stride, args.longer_side))
    found = all_problems(annotations, source, open_images=not args.skip_images)
    print(problem_list(found, args.limit or None))
    if args.show_dir:
        broken = {problem.where for problem in found if problem.fatal}
        usable = [image for image in annotations.images if min(image.size) > 0 and image.entry not in broken]
        draw(source, usable[: args.number], args)
        print(f'  visualizations are in {args.show_dir}')
    return sum(problem.fatal for problem in found)


def main(argv: list[str] | None = None) -> int:
    """Check the dataset. The exit code is 1 if it cannot be used for training, else 0.

    Raises:
        InputError: If the config has no COCO or VOC dataset.
    """
    args = parse('check-dataset', argv)
    cfg = arguments.load_config(args)
    config_checks.require_keys(cfg, f'{args.split}_dataloader')
    if args.show_dir:
        arguments.require_folder('--show-dir', args.show_dir)
    found = list(dataset_sources(cfg[f'{args.split}_dataloader'].dataset))
    if not found:
        raise InputError(f'{args.config} has no COCO or VOC dataset in {args.split}_dataloader')
    return 1 if sum([show(source, args) for source in found]) else 0
