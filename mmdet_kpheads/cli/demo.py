"""Everything from data to a file to deploy: write digits, train, test, draw, predict, export."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import mmengine
import numpy as np
import torch
from mmengine.structures import InstanceData

from mmdet_kpheads_cli.parsers import parse

from ..compat.config_bases import PACKAGE_ROOT, configs_root
from ..data.annotations import read_coco
from ..data.digits import CLASSES, IMAGE_FOLDER, IMAGE_SIZE, write_digits
from ..data.visualization import draw_detections, draw_objects, montage, side_by_side
from ..deploy.onnx_packages import package
from ..errors import InputError
from ..ops.nms import class_nms
from .arguments import require_folder

DATA = Path('data/digits')  # as in the demo configs
NUM_TRAIN, NUM_VAL = 6000, 300
QUICK_TRAIN, QUICK_VAL = 64, 24  # images with --quick
NUM_DRAWN, MONTAGE_COLUMNS = 24, 3
SCORE_THRESHOLDS = {'autoassign': 0.6}  # of what is drawn: its scores are higher than those of the other heads
OTHER_THRESHOLD = 0.3
ONE_OBJECT_IOU = 0.5  # of two boxes that overlap by more, of any class, the better one is drawn
NUM_VERIFIED = 8  # images on which the exported file is compared with torch
PACKAGES = ('sklearn', 'onnx', 'onnxruntime')


def call_subcommand(name: str, folder: Path, *arguments: str) -> None:
    """Run a subcommand in a folder, in a process of its own.

    Raises:
        InputError: If it fails. It has already printed the reason.
    """
    command = [sys.executable, '-m', 'mmdet_kpheads_cli', name, *arguments]
    environment = dict(os.environ)
    if configs_root().parent == PACKAGE_ROOT.parent:  # a checkout, perhaps not installed
        environment['PYTHONPATH'] = os.pathsep.join(
            filter(None, (os.environ.get('PYTHONPATH'), str(PACKAGE_ROOT.parent)))
        )
    result = subprocess.run(command, cwd=folder, env=environment, check=False)  # noqa: S603
    if result.returncode:
        raise InputError(f'mmdet-kpheads {name} stopped with exit code {result.returncode}')


def draw_predictions(predictions: list[dict], folder: Path, data: Path, threshold: float) -> Path:
    """Draw ground truth (left) and predictions (right) of the first images, one file per image, and a montage.

    Args:
        predictions: What ``mmdet-kpheads test --out`` wrote.
        folder: Output folder.
        data: Folder of the dataset.
        threshold: Lowest score that is drawn.

    Returns:
        Path of the montage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ground_truth = read_coco(data / 'annotations/val.json', data / IMAGE_FOLDER)
    by_name = {Path(item['img_path']).name: item['pred_instances'] for item in predictions}
    pairs = []
    for image in ground_truth.images[:NUM_DRAWN]:
        found = InstanceData(**by_name[image.path.name])
        found = found[found.scores >= threshold]
        found = found[class_nms(found.bboxes, found.scores, torch.zeros_like(found.labels), ONE_OBJECT_IOU)].numpy()
        pixels: Any = cv2.imread(str(image.path))
        truth = np.array([CLASSES.index(name) for name in image.names])
        left = draw_objects(pixels, np.array(image.boxes), truth, image.names)
        right = draw_detections(pixels, found.bboxes, found.scores, found.labels, CLASSES)
        pairs.append(side_by_side(left, right))
        cv2.imwrite(str(folder / f'{image.path.stem}.png'), pairs[-1])
    path = folder / 'montage.png'
    cv2.imwrite(str(path), montage(pairs[: NUM_DRAWN // 2], MONTAGE_COLUMNS))
    return path


def read_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of the last test run."""
    metrics: dict[str, float] = mmengine.load(max(work_dir.glob('*/*.json')))
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the demo. The last lines are the AP, what was made and where it is.

    Raises:
        InputError: If a package is missing, or a step fails.
    """
    args = parse('demo', argv)
    for name in PACKAGES:
        package(name, 'demo')
    num_train, num_val = (QUICK_TRAIN, QUICK_VAL) if args.quick else (NUM_TRAIN, NUM_VAL)
    start = time.monotonic()
    folder = Path(args.folder or ('demo_output_quick' if args.quick else 'demo_output')).resolve()
    config, work_dir = f'demo/{args.head}_digits.py', f'work_dirs/{args.head}_digits'

    require_folder('--folder', folder)
    print(f'writing {num_train} + {num_val} images to {folder / DATA}', flush=True)
    write_digits(folder / DATA, num_train, num_val)
    short = ['--cfg-options', 'train_cfg.max_epochs=1'] if args.quick else []
    shown = ['--traceback'] if args.traceback else []
    call_subcommand('train', folder, config, '--work-dir', work_dir, '--fast', *short, *shown)
    checkpoint = (folder / work_dir / 'last_checkpoint').read_text().strip()
    test_dir, found = f'{work_dir}_test', 'predictions.pkl'
    call_subcommand('test', folder, config, checkpoint, '--work-dir', test_dir, '--out', found, '--fast', *shown)
    threshold = SCORE_THRESHOLDS.get(args.head, OTHER_THRESHOLD)
    pictures = folder / 'visualizations' / args.head
    drawn = draw_predictions(mmengine.load(folder / found), pictures, folder / DATA, threshold)
    made = {
        'checkpoint': folder / checkpoint,
        'ground truth and predictions': drawn,
        'pictures, CSV and JSON of predict': predict_images(folder, config, checkpoint, args.head, threshold),
        'ONNX file, equal to torch': export_model(folder, config, checkpoint, args.head),
        'report': write_report(folder, work_dir),
    }
    metrics = read_metrics(folder / test_dir)
    ap50, ap = (metrics.get(f'coco/{name}', 0.0) for name in ('bbox_mAP_50', 'bbox_mAP'))  # absent without a detection

    print(f'\ndata, training, test, predictions, export and report took {time.monotonic() - start:.0f} s')
    print(f'COCO AP50 {ap50:.3f}, AP {ap:.3f} on {num_val} validation images')
    for what, path in made.items():
        print(f'{what}: {path}')


def write_report(folder: Path, work_dir: str) -> Path:
    """Report on the training; returns the HTML file."""
    call_subcommand('report', folder, work_dir)
    return folder / work_dir / 'report.html'


def predict_images(folder: Path, config: str, checkpoint: str, head: str, threshold: float) -> Path:
    """Predict the validation images as images of one's own; returns the folder of the results."""
    images, out = DATA / IMAGE_FOLDER / 'val_*.jpg', f'predictions/{head}'
    call_subcommand('predict', folder, config, checkpoint, str(images), '--out', out, '--score-thr', str(threshold))
    return folder / out


def export_model(folder: Path, config: str, checkpoint: str, head: str) -> Path:
    """Export to ONNX and compare the file with torch; returns its path."""
    out = f'{head}_digits.onnx'
    images = [str(DATA / IMAGE_FOLDER / f'val_{index:05d}.jpg') for index in range(NUM_VERIFIED)]
    size = [str(IMAGE_SIZE)] * 2
    call_subcommand('export', folder, config, checkpoint, '--out', out, '--size', *size, '--verify', *images)
    return folder / out
