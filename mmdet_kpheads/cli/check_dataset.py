"""Show what a config's data set holds and what is wrong with it."""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch

from ..data.annotations import AnnotatedImage, AnnotationFile
from ..data.check import fatal_problems, image_file_problems, report
from ..data.dataset_sources import DatasetSource, dataset_sources
from ..data.visualization import GROUND_TRUTH_COLOR, blend, draw_boxes, read_enlarged, side_by_side
from ..errors import InputError
from ..functional.gaussian import draw as draw_gaussians
from ..structures import GroundTruth, MapGeometry
from ..targets.keypoints import center_targets
from . import arguments


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog='check_dataset', description='Check the data set of a config')
    parser.add_argument('config', help='path of a config, or name of a carried one such as centernet/x.py')
    arguments.add_common_arguments(parser)
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--stride', type=int, default=4, help='pixels of a heat-map cell')
    parser.add_argument('--longer-side', type=int, help='what images are resized to; default: not resized')
    parser.add_argument('--read-images', action='store_true', help='open every image and compare its size')
    parser.add_argument('--show-dir', help='draw the first images into this folder, with boxes and target heat map')
    parser.add_argument('--number', type=int, default=8, help='how many images to draw')
    return parser.parse_args(argv)


def target_map(image: AnnotatedImage, stride: int, longer_side: int | None) -> np.ndarray:
    """What CenterNetHead with its default radius is trained to see: Gaussians of all objects, (H, W) in [0, 1].

    Args:
        image: The image.
        stride: Pixels of the network input per cell.
        longer_side: What the longer side is resized to; None for the size as it is.
    """
    scale = longer_side / max(1, *image.size) if longer_side else 1.0
    height, width = (max(1, math.ceil(side * scale / stride)) for side in image.size[::-1])
    input_size = (height * stride, width * stride)
    boxes = torch.tensor(image.boxes, dtype=torch.float32).reshape(-1, 4) * scale
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    truth = GroundTruth.from_tensors([boxes], [labels], [input_size], 1, 'check_dataset')
    targets = center_targets(truth, MapGeometry((height, width), input_size, truth.extent_px), num_classes=1)
    heatmap: np.ndarray = draw_gaussians(targets.gaussians)[0, 0].numpy()
    return heatmap


def draw(truth: AnnotationFile, folder: Path, number: int, stride: int, longer_side: int | None) -> None:
    """Write the first images that can be read as PNG files: with their boxes, and under the target of a center head."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in [image for image in truth.images if image.path.is_file()][:number]:
        pixels, factor = read_enlarged(image.path)
        boxes = np.array(image.boxes).reshape(-1, 4) * factor
        picture = draw_boxes(pixels, boxes, image.names, GROUND_TRUTH_COLOR)
        target = draw_boxes(
            blend(pixels, target_map(image, stride, longer_side)), boxes, [''] * len(boxes), GROUND_TRUTH_COLOR
        )
        cv2.imwrite(str(folder / f'{image.path.stem}.png'), side_by_side(picture, target))


def show(source: DatasetSource, args: argparse.Namespace) -> int:
    """Print the report of one data set and give the number of its fatal faults."""
    truth = source.read()
    print(report(truth, source.classes, args.stride, args.longer_side))
    fatal = fatal_problems(truth, source)
    fatal += list(image_file_problems(truth)) if args.read_images else []
    for fault in fatal:
        print(f'  FAULT: {fault}')
    if args.show_dir:
        draw(truth, Path(args.show_dir), args.number, args.stride, args.longer_side)
        print(f'  pictures are in {args.show_dir}')
    return len(fatal)


def main(argv: list[str] | None = None) -> None:
    """Check as the command line says; exit code 1 if the data set cannot be trained on.

    Raises:
        InputError: If the config has no COCO or VOC data set, or a file of it cannot be read.
    """
    args = parse_arguments(argv)
    cfg = arguments.load_config(args)
    found = list(dataset_sources(cfg[f'{args.split}_dataloader'].dataset))
    if not found:
        raise InputError(f'{args.config} has no COCO or VOC data set in {args.split}_dataloader')
    if sum([show(source, args) for source in found]):
        raise SystemExit(1)
