"""Test a detector, with the arguments of mmdet's tools/test.py."""

from copy import deepcopy
from typing import Any

import torch
from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmdet.evaluation import DumpDetResults
from mmdet.registry import MODELS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdet_kpheads_cli.parsers import parse

from .. import compat
from ..data.check import require_readable
from ..detectors.flip_tta import FlipTTA
from ..errors import InputError
from . import arguments
from .failures import config_errors, other_processes_named
from .speed import speed_up_test

TTA_META_KEYS = ('ori_shape', 'img_shape', 'scale_factor', 'border', 'flip', 'flip_direction')
TTA_CFG = {'nms': {'type': 'nms', 'iou_threshold': 0.5}, 'max_per_img': 100}
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


def main(argv: list[str] | None = None) -> None:
    """Test.

    Raises:
        InputError: If an input is missing or wrong, or ``--out`` is not a pickle file.
        RunStoppedError: If another process was killed or does not answer.
    """
    args = parse('test', argv)
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise InputError(f'--out must end in .pkl or .pickle, but is {args.out}')
    cfg = arguments.load_config(args)
    arguments.require_keys(cfg, 'model', 'test_dataloader', 'test_cfg', 'test_evaluator')
    arguments.require_checkpoint(args.checkpoint)
    if not format_only(cfg.test_evaluator):
        require_readable(cfg.test_dataloader.dataset)
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        trigger_visualization_hook(cfg, args)
    if args.tta:
        use_tta(cfg)
    if args.fast:
        print(f'speed: {speed_up_test(cfg, torch.device(get_device()).type)}')
    setup_cache_size_limit_of_dynamo()
    compat.register(init_default_scope=False)  # faster than by the runner, with all that they import
    with other_processes_named(cfg), config_errors(cfg):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    arguments.require_fitting(runner.model, args.checkpoint)
    if args.out:
        runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=args.out))
    with other_processes_named(cfg):
        runner.test()
