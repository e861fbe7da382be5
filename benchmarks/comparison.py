"""Heads compared on small datasets: one backbone, one budget of CPU seconds, several seeds.

    python -m benchmarks.comparison --data FOLDER --train train.json --val test.json --name BCCD

Our three heads and FCOS, RetinaNet, ATSS and RTMDet of mmdet, all on the demo's narrow ResNet-18 with FPN, from random
weights, with the same transforms, optimizer and schedule. Each run is a process with one thread. It measures its step,
trains for as many steps as the budget allows, and is evaluated once. Times are those of the process on its processor,
and do not count the time of other processes. Runs that are in the result file are not repeated: the script can be
stopped and started again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmdet_kpheads
from mmdet_kpheads import compat
from mmdet_kpheads.compat.config_bases import configs_root

from .contract import RESULTS

STRIDES = [8, 16, 32]
WARM_STEPS, TIMED_STEPS = 3, 10  # before a training, to know how many steps the budget allows
SHARED = {'in_channels': 32, 'feat_channels': 32, 'stacked_convs': 2}
GROUP_NORM = {'type': 'GN', 'num_groups': 8, 'requires_grad': True}
FOCAL = {'type': 'mmdet.FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25, 'loss_weight': 1.0}
NMS = {'nms_pre': 1000, 'min_bbox_size': 0, 'score_thr': 0.05, 'nms': {'type': 'nms', 'iou_threshold': 0.6}}
ANCHORS = {'type': 'mmdet.AnchorGenerator', 'strides': STRIDES}
DELTAS = {'type': 'mmdet.DeltaXYWHBBoxCoder', 'target_means': [0.0] * 4}
OURS = {
    'AutoAssign': 'autoassign',
    'CenterNet': 'centernet',
    'CenterNet-s8': 'centernet',
    'CornerNet': 'cornernet',
    'CornerNet-s8': 'cornernet',
}
STRIDE_8 = {'start_level': 1, 'num_outs': 3}  # of the neck, for the heads that read the first map only
THEIRS: dict[str, dict[str, Any]] = {  # as in mmdet's configs, but for the shared widths and strides
    'FCOS': {
        'type': 'FCOS',
        'bbox_head': {
            'type': 'mmdet.FCOSHead',
            'strides': STRIDES,
            'regress_ranges': ((-1, 64), (64, 128), (128, 1e8)),
            'norm_cfg': GROUP_NORM,
            'norm_on_bbox': True,
            'centerness_on_reg': True,
            'center_sampling': True,
            'loss_cls': FOCAL,
            'loss_bbox': {'type': 'mmdet.GIoULoss', 'loss_weight': 1.0},
        },
    },
    'RetinaNet': {
        'type': 'RetinaNet',
        'bbox_head': {
            'type': 'mmdet.RetinaHead',
            'norm_cfg': GROUP_NORM,
            'anchor_generator': ANCHORS | {'octave_base_scale': 4, 'scales_per_octave': 3, 'ratios': [0.5, 1.0, 2.0]},
            'bbox_coder': DELTAS | {'target_stds': [1.0] * 4},
            'loss_cls': FOCAL,
            'loss_bbox': {'type': 'mmdet.L1Loss', 'loss_weight': 1.0},
        },
        'train_cfg': {
            'assigner': {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.5, 'neg_iou_thr': 0.4, 'min_pos_iou': 0},
            'sampler': {'type': 'PseudoSampler'},
            'allowed_border': -1,
            'pos_weight': -1,
        },
    },
    'ATSS': {
        'type': 'ATSS',
        'bbox_head': {
            'type': 'mmdet.ATSSHead',
            'norm_cfg': GROUP_NORM,
            'anchor_generator': ANCHORS | {'ratios': [1.0], 'octave_base_scale': 8, 'scales_per_octave': 1},
            'bbox_coder': DELTAS | {'target_stds': [0.1, 0.1, 0.2, 0.2]},
            'loss_cls': FOCAL,
            'loss_bbox': {'type': 'mmdet.GIoULoss', 'loss_weight': 2.0},
            'loss_centerness': {'type': 'mmdet.CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': 1.0},
        },
        'train_cfg': {'assigner': {'type': 'ATSSAssigner', 'topk': 9}, 'allowed_border': -1, 'pos_weight': -1},
    },
    'RTMDet': {
        'type': 'RTMDet',
        'bbox_head': {
            'type': 'mmdet.RTMDetSepBNHead',
            'norm_cfg': {'type': 'BN'},
            'act_cfg': {'type': 'SiLU', 'inplace': True},
            'anchor_generator': {'type': 'mmdet.MlvlPointGenerator', 'offset': 0, 'strides': STRIDES},
            'bbox_coder': {'type': 'mmdet.DistancePointBBoxCoder'},
            'loss_cls': {'type': 'mmdet.QualityFocalLoss', 'use_sigmoid': True, 'beta': 2.0, 'loss_weight': 1.0},
            'loss_bbox': {'type': 'mmdet.GIoULoss', 'loss_weight': 2.0},
            'with_objectness': False,
            'exp_on_reg': True,
        },
        'train_cfg': {
            'assigner': {'type': 'DynamicSoftLabelAssigner', 'topk': 13},
            'allowed_border': -1,
            'pos_weight': -1,
        },
    },
}
HEADS = (*OURS, *THEIRS)
COLUMNS = ['data', 'head', 'AP', 'AP50', 'training images/s', 'test images/s', 'MB', 'runs']


def config_of(head: str, args: argparse.Namespace, classes: tuple[str, ...], seed: int) -> Config:
    """The config of one run, without its number of steps."""
    cfg = Config.fromfile(configs_root() / '{0}/{0}_bccd.py'.format(OURS.get(head, 'autoassign')))
    cfg.model.bbox_head.num_classes = len(classes)
    if head in THEIRS:
        parts = THEIRS[head]
        cfg.model.type = f'mmdet.{parts["type"]}'
        cfg.model.bbox_head = {**SHARED, 'num_classes': len(classes), **parts['bbox_head']}
        cfg.model.train_cfg, cfg.model.test_cfg = parts.get('train_cfg'), NMS
    cfg.model.test_cfg['max_per_img'] = 100
    if head.endswith('-s8'):
        cfg.model.neck.update(STRIDE_8)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    pipelines = [(train.dataset if 'dataset' in train else train).pipeline, val.pipeline]
    size = tuple(args.image_size)
    pipelines[0][2].scale = pipelines[0][3].crop_size = pipelines[1][1].scale = size
    for pipeline in pipelines:
        for step in pipeline:
            if 'meta_keys' in step:
                step.meta_keys = [key for key in step.meta_keys if key != 'instances']
    sets = [
        {
            'type': 'CocoDataset',
            'metainfo': {'classes': classes},
            'ann_file': str(path),
            'data_prefix': {'img': f'{args.data / "images"}/'},
            'pipeline': pipeline,
            **more,
        }
        for path, pipeline, more in (
            (args.train, pipelines[0], {'filter_cfg': {'filter_empty_gt': True}, 'indices': args.train_images}),
            (args.val, pipelines[1], {'test_mode': True}),
        )
    ]
    loader = {'num_workers': 0, 'persistent_workers': False}
    sampler = {'type': 'InfiniteSampler', 'shuffle': True}
    cfg.train_dataloader = {'batch_size': args.batch_size, 'sampler': sampler, 'dataset': sets[0], **loader}
    cfg.val_dataloader = cfg.test_dataloader = {
        'batch_size': 1,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': sets[1],
        **loader,
    }
    evaluator = {'type': 'mmdet_kpheads.CocoMetric', 'ann_file': str(args.val), 'proposal_nums': (100, 300, 1000)}
    cfg.val_evaluator = cfg.test_evaluator = evaluator
    cfg.custom_hooks, cfg.auto_scale_lr, cfg.randomness = [], None, {'seed': seed}
    cfg.default_hooks.checkpoint = {'type': 'CheckpointHook', 'interval': -1, 'save_last': False}
    cfg.work_dir = args.work_dir
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def schedule(cfg: Config, steps: int) -> None:
    """Cosine decay over the steps, after a tenth of them to warm up."""
    warm = max(1, steps // 10)
    cfg.train_cfg = {'type': 'IterBasedTrainLoop', 'max_iters': steps, 'val_interval': steps}
    cfg.param_scheduler = [
        {'type': 'LinearLR', 'start_factor': 0.01, 'by_epoch': False, 'begin': 0, 'end': warm},
        {
            'type': 'CosineAnnealingLR',
            'eta_min': 0.0,
            'by_epoch': False,
            'begin': warm,
            'end': steps,
            'T_max': steps - warm,
        },
    ]


class StepTimes(Hook):
    """Collects the processor time between the ends of training steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.last = 0.0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One more step."""
        now = time.process_time()
        if batch_idx >= WARM_STEPS:
            self.seconds.append(now - self.last)
        self.last = now


def trained(args: argparse.Namespace, head: str, classes: tuple[str, ...], seed: int, steps: int) -> Any:
    """A runner that has made its steps, and their median time."""
    cfg, times = config_of(head, args, classes, seed), StepTimes()
    schedule(cfg, steps)
    cfg.experiment_name = f'{head}_{seed}_{steps}'
    runner = Runner.from_cfg(cfg)
    runner.register_hook(times)
    runner.train()
    return runner, statistics.median(times.seconds)


def train_once(args: argparse.Namespace, head: str, seed: int) -> dict[str, Any]:
    """Train and evaluate one head."""
    torch.set_num_threads(1)
    compat.install()
    mmdet_kpheads.register()
    classes = tuple(entry['name'] for entry in json.loads(args.val.read_text())['categories'])
    _, step_s = trained(args, head, classes, seed, WARM_STEPS + TIMED_STEPS)
    steps = max(WARM_STEPS + 1, round(args.seconds / step_s))
    start = time.process_time()
    runner, step_s = trained(args, head, classes, seed, steps)
    trained_s, start = time.process_time() - start, time.process_time()
    metrics = runner.val()
    tested_s = time.process_time() - start
    return {
        'data': args.name,
        'head': head,
        'seed': seed,
        'ap': metrics.get('coco/bbox_mAP', 0.0),
        'ap50': metrics.get('coco/bbox_mAP_50', 0.0),
        'steps': steps,
        'train_images_per_s': round(args.batch_size / step_s, 2),
        'test_images_per_s': round(len(runner.val_dataloader.dataset) / tested_s, 2),
        'peak_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        'parameters': sum(p.numel() for p in runner.model.parameters()),
        'seconds': round(trained_s),
    }


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.comparison', description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='folder with annotations/ and images/')
    parser.add_argument('--train', type=Path, required=True, help='COCO file in annotations/')
    parser.add_argument('--val', type=Path, required=True, help='COCO file in annotations/')
    parser.add_argument('--train-images', type=int, help='train on the first so many; default all')
    parser.add_argument('--name', required=True, help='of the dataset, in the table')
    parser.add_argument('--heads', nargs='+', default=HEADS, choices=HEADS)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--seconds', type=float, default=120, help='of training, on one processor')
    parser.add_argument('--image-size', nargs=2, type=int, default=[320, 240])
    parser.add_argument('--batch-size', type=int, default=16)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings to try, as of train')
    parser.add_argument('--results', type=Path, default=RESULTS / 'comparison_cpu.jsonl')
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)  # one run, in this process
    args = parser.parse_args()
    args.train, args.val = args.data / 'annotations' / args.train, args.data / 'annotations' / args.val
    if args.here:
        with tempfile.TemporaryDirectory() as args.work_dir:
            print(json.dumps(train_once(args, args.heads[0], args.seeds[0])))
        return
    for seed in args.seeds:
        for head in args.heads:
            if (args.name, head, seed) not in {(row['data'], row['head'], row['seed']) for row in stored(args.results)}:
                run(args, head, seed)
    print('\n'.join(' | '.join(cells) for cells in [COLUMNS, *table(stored(args.results))]))


def run(args: argparse.Namespace, head: str, seed: int) -> None:
    """One run in a process of its own, added to the results."""
    options = [*sys.argv[1:], '--heads', head, '--seeds', str(seed), '--here']
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks.comparison', *options],
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f'{head}, seed {seed}: {done.stderr[-3000:]}')
    line = done.stdout.strip().splitlines()[-1]
    print(line, flush=True)
    with args.results.open('a') as file:
        file.write(line + '\n')


def stored(path: Path) -> list[dict[str, Any]]:
    """The rows of a result file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def by_head(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The runs of each dataset and head; within a dataset the best mean AP first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row['data'], row['head']), []).append(row)
    order = sorted(groups, key=lambda key: (key[0], -statistics.mean(row['ap'] for row in groups[key])))
    return {key: groups[key] for key in order}


def table(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Mean and standard deviation over the seeds, best AP first."""
    lines = []
    for key, runs in by_head(rows).items():
        of = {name: [row[name] for row in runs] for name in runs[0]}
        aps = [percent(of[name]) for name in ('ap', 'ap50')]
        speeds = [f'{statistics.median(of[name]):.1f}' for name in ('train_images_per_s', 'test_images_per_s')]
        lines.append([*key, *aps, *speeds, str(max(of['peak_mb'])), str(len(of['ap']))])
    return lines


def percent(values: list[float]) -> str:
    """The mean in percent, and the standard deviation of several runs."""
    mean = f'{statistics.mean(values) * 100:.1f}'
    return f'{mean} ± {spread(values) * 100:.1f}' if len(values) > 1 else mean


def spread(values: list[float]) -> float:
    """The standard deviation, 0 of a single run."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


if __name__ == '__main__':
    main()
