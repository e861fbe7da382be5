"""A small YOLO of Ultralytics beside the heads of ``comparison.py``: from random weights, under the same budget.

    python benchmarks/yolo.py --data FOLDER --train train.json --val test.json --name BCCD

For an environment of its own, with ``ultralytics`` and ``pycocotools``; nothing of this package is imported.
Ultralytics is under AGPL-3.0: it is called by its public interface only, and is no dependency. Its own defaults hold
for transforms, optimizer and schedule. One run measures its step, trains for as many epochs as the budget of CPU
seconds allows, and is evaluated once, by pycocotools, on the same images as the heads.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_STEPS = 3
RESULTS = Path(__file__).parent / 'results' / 'comparison_cpu.jsonl'


def write_labels(data: Path, ann_file: str, folder: Path, first: int | None = None) -> list[str]:
    """Write images (as links) and labels in YOLO's format; returns the class names."""
    coco = json.loads((data / 'annotations' / ann_file).read_text())
    index = {entry['id']: number for number, entry in enumerate(coco['categories'])}
    annotated = {entry['image_id'] for entry in coco['annotations']}
    (folder / 'images').mkdir(parents=True)
    (folder / 'labels').mkdir()
    for image in [entry for entry in coco['images'] if not first or entry['id'] in annotated][:first]:
        name = Path(image['file_name'])
        (folder / 'images' / name.name).symlink_to((data / 'images' / name).resolve())
        lines = []
        for entry in coco['annotations']:
            if entry['image_id'] == image['id']:
                x, y, w, h = entry['bbox']
                center = ((x + w / 2) / image['width'], (y + h / 2) / image['height'])
                box = (*center, w / image['width'], h / image['height'])
                lines.append(' '.join(map(str, (index[entry['category_id']], *box))))
        (folder / 'labels' / f'{name.stem}.txt').write_text('\n'.join(lines))
    return [entry['name'] for entry in coco['categories']]


def trained(args: argparse.Namespace, dataset: Path, epochs: int) -> tuple[Any, list[float]]:
    """A model after its epochs, and the processor time of each step."""
    from ultralytics import YOLO

    model, ends = YOLO(f'{args.model}.yaml', verbose=False), []
    model.add_callback('on_train_batch_end', lambda trainer: ends.append(time.process_time()))
    options = {'device': 'cpu', 'workers': 0, 'amp': False, 'pretrained': False, 'val': False, 'plots': False}
    options |= {'imgsz': args.image_size, 'batch': args.batch_size, 'seed': args.seed}
    model.train(data=str(dataset), epochs=epochs, project=str(dataset.parent / 'runs'), verbose=False, **options)
    steps = [after - before for before, after in zip(ends[WARM_STEPS:], ends[WARM_STEPS + 1 :], strict=False)]
    return YOLO(model.trainer.last), steps


def found(model: Any, args: argparse.Namespace, coco: Any) -> list[dict[str, Any]]:
    """The detections on the test images, in COCO's result format, one image at a time."""
    ids, results = coco.getCatIds(), []
    for image in coco.dataset['images']:
        path = args.data / 'images' / image['file_name']
        (result,) = model.predict(
            str(path), imgsz=args.image_size, conf=0.001, max_det=100, device='cpu', verbose=False
        )
        for (x1, y1, x2, y2), score, label in zip(
            result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist(), strict=True
        ):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({'image_id': image['id'], 'category_id': ids[int(label)], 'bbox': box, 'score': score})
    return results


def train_once(args: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one seed."""
    import torch
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work_dir, contextlib.redirect_stdout(io.StringIO()):
        names = write_labels(args.data, args.train, Path(work_dir) / 'train', args.train_images)
        write_labels(args.data, args.val, Path(work_dir) / 'val')
        dataset = Path(work_dir) / 'data.yaml'
        dataset.write_text(json.dumps({'path': work_dir, 'train': 'train/images', 'val': 'val/images', 'names': names}))
        images = len(list((Path(work_dir) / 'train/images').iterdir()))
        steps_per_epoch = -(-images // args.batch_size)
        _, steps = trained(args, dataset, -(-12 // steps_per_epoch))
        epochs = max(1, round(args.seconds / (statistics.median(steps) * steps_per_epoch)))
        start = time.process_time()
        model, steps = trained(args, dataset, epochs)
        trained_s = time.process_time() - start
        coco, start = COCO(str(args.data / 'annotations' / args.val)), time.process_time()
        detections = found(model, args, coco)
        tested_s = time.process_time() - start
        scores = COCOeval(coco, coco.loadRes(detections), 'bbox') if detections else None
        if scores:
            scores.evaluate()
            scores.accumulate()
            scores.summarize()
        ap, ap50 = scores.stats[:2] if scores else (0.0, 0.0)
        return {
            'data': args.name,
            'head': args.model,
            'seed': args.seed,
            'ap': round(float(ap), 3),
            'ap50': round(float(ap50), 3),
            'steps': epochs * steps_per_epoch,
            'train_images_per_s': round(images / steps_per_epoch / statistics.median(steps), 2),
            'test_images_per_s': round(len(coco.dataset['images']) / tested_s, 2),
            'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            'parameters': sum(p.numel() for p in model.model.parameters()),
            'seconds': round(trained_s),
        }


def main() -> None:
    """One training; adds a line to the results."""
    parser = argparse.ArgumentParser(prog='python benchmarks/yolo.py', description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='folder with annotations/ and images/')
    parser.add_argument('--train', required=True, help='COCO file in annotations/')
    parser.add_argument('--val', required=True, help='COCO file in annotations/')
    parser.add_argument('--train-images', type=int, help='train on the first so many; default all')
    parser.add_argument('--name', required=True, help='of the dataset, in the table')
    parser.add_argument('--model', default='yolo26n', help='a model file of Ultralytics')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--seconds', type=float, default=120, help='of training, on one processor')
    parser.add_argument('--image-size', type=int, default=320, help='longer side in pixels')
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--results', type=Path, default=RESULTS)
    args = parser.parse_args()
    line = json.dumps(train_once(args))
    print(line)
    with args.results.open('a') as file:
        file.write(line + '\n')


if __name__ == '__main__':
    os.environ.update(YOLO_OFFLINE='true', OMP_NUM_THREADS='1')
    main()
