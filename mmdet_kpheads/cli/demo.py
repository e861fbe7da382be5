"""Everything from data to visualizations: write digits, train, test, draw."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mmengine
import numpy as np

from mmdet_kpheads_cli.parsers import parse

from ..compat.config_bases import PACKAGE_ROOT, configs_root
from ..data.annotations import read_coco
from ..data.digits import CLASSES, IMAGE_FOLDER, write_digits
from ..data.visualization import (
    GROUND_TRUTH_COLOR,
    PREDICTION_COLOR,
    draw_boxes,
    drawing_order,
    montage,
    read_enlarged,
    side_by_side,
)
from ..errors import InputError
from .arguments import require_folder

DATA = Path('data/digits')  # as in the demo configs
NUM_TRAIN, NUM_VAL = 7500, 300
QUICK_TRAIN, QUICK_VAL = 64, 24  # images with --quick
NUM_DRAWN, MONTAGE_COLUMNS = 24, 3
SCORE_THRESHOLD = 0.3


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


def draw_predictions(predictions: list[dict], folder: Path, data: Path) -> Path:
    """Draw ground truth (left) and predictions (right) of the first images, one file per image, and a montage.

    Args:
        predictions: What ``mmdet-kpheads test --out`` wrote.
        folder: Output folder.
        data: Folder of the dataset.

    Returns:
        Path of the montage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ground_truth = read_coco(data / 'annotations/val.json', data / IMAGE_FOLDER)
    by_name = {Path(item['img_path']).name: item['pred_instances'] for item in predictions}
    pairs = []
    for image in ground_truth.images[:NUM_DRAWN]:
        found = by_name[image.path.name]
        boxes, scores, labels = (found[key].numpy() for key in ('bboxes', 'scores', 'labels'))
        order = drawing_order(boxes, scores, labels)
        order = order[scores[order] >= SCORE_THRESHOLD]
        captions = [f'{CLASSES[labels[index]]} {scores[index]:.2f}' for index in order]
        pixels, factor = read_enlarged(image.path)
        left = draw_boxes(pixels, np.array(image.boxes) * factor, image.names, GROUND_TRUTH_COLOR)
        right = draw_boxes(pixels, boxes[order] * factor, captions, PREDICTION_COLOR)
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
    """Run the demo. The last lines are the AP and the path of the visualizations.

    Raises:
        InputError: If training or testing fails.
    """
    args = parse('demo', argv)
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
    test_dir, out = f'{work_dir}_test', 'predictions.pkl'
    call_subcommand('test', folder, config, checkpoint, '--work-dir', test_dir, '--out', out, '--fast', *shown)
    drawn = draw_predictions(mmengine.load(folder / out), folder / 'visualizations' / args.head, folder / DATA)
    metrics = read_metrics(folder / test_dir)
    ap50, ap = (metrics.get(f'coco/{name}', 0.0) for name in ('bbox_mAP_50', 'bbox_mAP'))  # absent without a detection

    print(f'\ndata, training, test and visualizations took {time.monotonic() - start:.0f} s')
    print(f'COCO AP50 {ap50:.3f}, AP {ap:.3f} on {num_val} validation images')
    print(f'ground truth (left) and predictions (right): {drawn}; single images are in the same folder')
