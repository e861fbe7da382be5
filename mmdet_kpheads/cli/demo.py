"""The main job from data to pictures: write digits, train, test, draw."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mmengine
import numpy as np

from ..compat.config_bases import configs_root
from ..data.annotations import read_coco
from ..data.digits import CLASSES, IMAGE_FOLDER, write_digits
from ..data.visualization import (
    GROUND_TRUTH_COLOR,
    PREDICTION_COLOR,
    draw_boxes,
    montage,
    read_enlarged,
    side_by_side,
)
from ..errors import InputError

DATA = Path('data/digits')  # as in the demo configs
NUM_TRAIN, NUM_VAL = 7500, 300
NUM_PICTURES, MONTAGE_COLUMNS = 24, 3
SCORE_THRESHOLD = 0.3
# Threads that wait sleep: a step takes a tenth longer, but not three times as long beside another busy process.
PATIENT_THREADS = {'OMP_WAIT_POLICY': 'PASSIVE'}


def call_tool(name: str, folder: Path, *arguments: str) -> None:
    """Run one of our tools in a folder.

    Raises:
        InputError: If it fails; it has said why.
    """
    tool = configs_root().parent / 'tools' / f'{name}.py'
    command = [sys.executable, str(tool), *arguments]
    result = subprocess.run(command, cwd=folder, env=PATIENT_THREADS | os.environ, check=False)  # noqa: S603
    if result.returncode:
        raise InputError(f'{tool.name} stopped with exit code {result.returncode}')


def draw_predictions(predictions: list[dict], folder: Path, data: Path) -> Path:
    """Draw truth (left) and predictions (right) of the first images, each in a file, and all in a montage.

    Args:
        predictions: What ``tools/test.py --out`` wrote.
        folder: Where the pictures go.
        data: Folder of the data set.

    Returns:
        Path of the montage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    truth = read_coco(data / 'annotations/val.json', data / IMAGE_FOLDER)
    by_name = {Path(item['img_path']).name: item['pred_instances'] for item in predictions}
    pictures = []
    for image in truth.images[:NUM_PICTURES]:
        found = by_name[image.path.name]
        kept = found['scores'] >= SCORE_THRESHOLD
        captions = [
            f'{CLASSES[label]} {score:.2f}'
            for label, score in zip(found['labels'][kept], found['scores'][kept], strict=True)
        ]
        pixels, factor = read_enlarged(image.path)
        left = draw_boxes(pixels, np.array(image.boxes) * factor, image.names, GROUND_TRUTH_COLOR)
        right = draw_boxes(pixels, found['bboxes'][kept].numpy() * factor, captions, PREDICTION_COLOR)
        pictures.append(side_by_side(left, right))
        cv2.imwrite(str(folder / f'{image.path.stem}.png'), pictures[-1])
    path = folder / 'montage.png'
    cv2.imwrite(str(path), montage(pictures[: NUM_PICTURES // 2], MONTAGE_COLUMNS))
    return path


def read_metrics(work_dir: Path) -> dict[str, float]:
    """Give the figures of the last test run."""
    metrics: dict[str, float] = mmengine.load(max(work_dir.glob('*/*.json')))
    return metrics


def main(argv: list[str] | None = None) -> None:
    """Run the demo; its last lines are the AP figures and where the pictures are."""
    parser = argparse.ArgumentParser(prog='demo', description='Train, test and draw on handwritten digits')
    parser.add_argument('--head', default='centernet', help='demo/<head>_digits.py is the config')
    parser.add_argument('--folder', default='demo_output', help='where everything is written')
    args = parser.parse_args(argv)
    start, folder = time.monotonic(), Path(args.folder).resolve()
    config, work_dir = f'demo/{args.head}_digits.py', f'work_dirs/{args.head}_digits'

    print(f'writing {NUM_TRAIN} + {NUM_VAL} images to {folder / DATA}', flush=True)
    write_digits(folder / DATA, NUM_TRAIN, NUM_VAL)
    call_tool('train', folder, config, '--work-dir', work_dir)
    checkpoint = (folder / work_dir / 'last_checkpoint').read_text().strip()
    test_dir, out = f'{work_dir}_test', 'predictions.pkl'
    call_tool('test', folder, config, checkpoint, '--work-dir', test_dir, '--out', out)
    pictures = folder / 'pictures' / args.head
    path = draw_predictions(mmengine.load(folder / out), pictures, folder / DATA)
    metrics = read_metrics(folder / test_dir)
    ap50, ap = metrics['coco/bbox_mAP_50'], metrics['coco/bbox_mAP']

    print(f'\ndata, training, test and pictures took {time.monotonic() - start:.0f} s')
    print(f'COCO AP50 {ap50:.3f}, AP {ap:.3f} on {NUM_VAL} held-out images')
    print(f'truth (left) and predictions (right): {path}, single images beside it')
