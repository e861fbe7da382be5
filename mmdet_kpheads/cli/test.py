"""Test a detector, with the arguments of mmdet's tools/test.py."""

import argparse
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmdet.evaluation import DumpDetResults
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import is_main_process

from mmdet_kpheads_cli.parsers import parse

from ..compat import shared_annotations
from ..data.check import require_readable
from ..data.dataset_sources import dataset_sources
from ..data.prediction_files import require_display
from ..deploy.onnx_packages import open_onnx
from ..detectors.flip_tta import FlipTTA
from ..errors import InputError, listed
from . import arguments, config_checks
from .failures import config_errors, other_processes_named
from .header import print_plan, print_run, print_versions
from .running import build_runner
from .showing import draw, print_pictures, show_progress
from .speed import speed_up_test, use_fast_metric

TTA_META_KEYS = ('ori_shape', 'img_shape', 'scale_factor', 'border', 'flip', 'flip_direction')
TTA_CFG = {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100}
NOT_WITH_ONNX = ('checkpoint', 'tta', 'launcher')
TTA_MODEL = {'type': 'DetTTAModel', 'tta_cfg': TTA_CFG}


def inner_dataset(cfg: Any) -> Any:
    """The dataset config inside wrappers such as ``RepeatDataset``."""
    while 'dataset' in cfg:
        cfg = cfg['dataset']
    return cfg


def format_only(evaluator: Any) -> bool:
    """Whether results are only written, as for a dataset without annotations."""
    return all(item.get('format_only') for item in (evaluator if isinstance(evaluator, list) else [evaluator]))


def flips_the_input(tta_model: Any) -> bool:
    """Whether the model flips the network input itself, so that its pipeline is a plain one."""
    kind = tta_model['type']
    wrapper = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(wrapper, type) and issubclass(wrapper, FlipTTA)


def use_tta(cfg: Config) -> None:
    """Wrap the model for test-time augmentation; by default, detections of image and mirror image are merged."""
    dataset = inner_dataset(cfg.test_dataloader.dataset)
    tta_model = cfg.get('tta_model', TTA_MODEL)
    if 'tta_pipeline' not in cfg and flips_the_input(tta_model):
        cfg.tta_pipeline = dataset.pipeline
    if 'tta_pipeline' not in cfg:
        *transforms, pack = deepcopy(dataset.pipeline)
        views = [{'type': 'RandomFlip', 'prob': probability} for probability in (0.0, 1.0)]
        meta_keys = dict.fromkeys((*pack.get('meta_keys', ('img_id', 'img_path')), *TTA_META_KEYS))
        packs = [dict(pack, meta_keys=tuple(meta_keys))]
        cfg.tta_pipeline = [*transforms, {'type': 'TestTimeAug', 'transforms': [views, packs]}]
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
    dataset.pipeline = cfg.tta_pipeline


def use_onnx(cfg: Config, path: str) -> None:
    """Test an exported file instead of the model, image by image.

    Raises:
        InputError: If the file cannot be run, or has another number of classes than the test set.
    """
    detector = open_onnx(Path(path))
    classes = detector.classes
    for source in dataset_sources(cfg.test_dataloader.dataset):
        if len(source.classes) != len(classes):
            raise InputError(
                f'{path} has {len(classes)} classes {listed(classes)}, but the test set of {cfg.filename} has '
                f'{len(source.classes)} {listed(source.classes)}: take the config that it was exported with'
            )
        if source.classes != tuple(classes):
            print(f'note: {path} names its classes {listed(classes)}, the test set {listed(source.classes)}')
    if detector.metadata['nms'] == 'none':
        print(f'note: {path} was exported with --nms none, so these are the metrics of boxes that are not suppressed')
    cfg.model = ConfigDict(type='mmdet_kpheads.OnnxModel', path=path)
    cfg.load_from, cfg.resume = None, False
    cfg.test_dataloader.batch_size = 1  # the log counts images


def require_one_detector(args: argparse.Namespace) -> None:
    """Raise ``InputError`` unless the arguments name a checkpoint, or a file and nothing that a file cannot do."""
    if not (args.checkpoint or args.onnx):
        raise InputError('test needs a checkpoint, or an exported file with --onnx')
    given = [name for name, value in vars(args).items() if name in NOT_WITH_ONNX and value not in (None, False, 'none')]
    if args.onnx and given:
        raise InputError(f'--onnx tests the file alone, in one process: leave out {" and ".join(given)}')


def main(argv: list[str] | None = None) -> None:
    """Test.

    Raises:
        InputError: If an input is missing or wrong, or ``--out`` is not a pickle file.
        RunStoppedError: If another process was killed or does not answer.
    """
    args = parse('test', argv)
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise InputError(f'--out must end in .pkl or .pickle, but is {args.out}')
    require_one_detector(args)
    cfg = arguments.load_config(args)
    config_checks.require_keys(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    config_checks.require_numbers(cfg)
    if args.checkpoint:
        arguments.require_checkpoint(args.checkpoint)
    arguments.require_folder('--work-dir', cfg.work_dir)
    if args.show:
        require_display()
    if args.out:
        arguments.require_folder('--out', Path(args.out).parent)
    with other_processes_named(cfg), config_errors(cfg), shared_annotations.sharing():
        run(cfg, args)


def run(cfg: Config, args: argparse.Namespace) -> None:
    """Build the runner, print what it will do, and test.

    Raises:
        InputError: As :func:`main`.
    """
    files = {} if format_only(cfg.test_evaluator) else {'test': require_readable(cfg.test_dataloader.dataset)}
    cfg.load_from = args.checkpoint
    if args.onnx:
        use_onnx(cfg, args.onnx)
    print_versions()
    print_plan(cfg, files)
    apply_arguments(cfg, args)
    runner = build_runner(cfg)
    if args.checkpoint:
        arguments.require_fitting(runner.model, args.checkpoint, args.config)
    if args.out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    show_progress(runner)
    print_run(runner)
    runner.test()
    if is_main_process():
        print_pictures(runner)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Change in the config how it tests."""
    if args.show or args.show_dir:
        draw(cfg, test_out_dir=args.show_dir, show=args.show, wait_time=args.wait_time)
    if args.tta:
        use_tta(cfg)
    if args.fast:
        chosen = use_fast_metric(cfg) if args.onnx else [speed_up_test(cfg, torch.device(get_device()).type)]
        print(f'speed: {", ".join(chosen)}')
