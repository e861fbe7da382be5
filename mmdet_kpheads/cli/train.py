"""Train a detector, with the arguments of mmdet's tools/train.py."""

import argparse
from typing import Any

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from mmdet_kpheads_cli.parsers import PROG, parse

from .. import compat
from ..data.check import require_readable
from ..errors import InputError
from ..hooks import LoadingReportHook
from . import arguments
from .failures import config_errors, ending_well
from .resuming import resume
from .speed import add_hook, speed_up_training

OWN_HOOKS = ('mmdet_kpheads.FiniteLossHook', 'mmdet_kpheads.ResumeHook')
# Without it each process validates with batch normalization statistics of its own, and those of the first are saved.
DISTRIBUTED_HOOKS = ('SyncBuffersHook',)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp, --fast, --compile, --auto-scale-lr and --resume into the config; print what makes it fast.

    Also adds the hooks that let a run end well, where the config lacks them.

    Raises:
        InputError: If --amp does not fit the device, --auto-scale-lr has no base batch size, or --resume no such
            checkpoint.
    """
    if args.amp or args.fast or args.compile:
        device = torch.device(get_device()).type
        print(f'speed: {speed_up_training(cfg, device, args.amp, args.fast, args.compile)}')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise InputError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('resume') and 'runner_type' not in cfg:  # another runner saves folders
        resume(cfg)
    elif cfg.get('load_from'):
        arguments.require_checkpoint(cfg.load_from)
    for kind in (*OWN_HOOKS, *(DISTRIBUTED_HOOKS if cfg.get('launcher', 'none') != 'none' else ())):
        if kind not in [hook.get('type') for hook in cfg.get('custom_hooks') or []]:
            add_hook(cfg, kind)


def check_inputs(cfg: Config) -> None:
    """Check datasets and pretrained weights before anything is built.

    Raises:
        InputError: If one cannot be used. The message names the file.
    """
    for split in ('train', 'val'):
        loader: Any = cfg.get(f'{split}_dataloader')
        for annotations in require_readable(loader.dataset) if loader else ():
            print(f'{split}: {len(annotations.images)} images in {annotations.path}')
    arguments.require_checkpoints(cfg.model)


def outcome(runner: Runner, config: str) -> str:
    """The best checkpoint with its metric, or else the last one, and the command to test it."""
    found = runner.message_hub.runtime_info
    checkpoint = found.get('best_ckpt') or find_latest_checkpoint(runner.work_dir)
    if not checkpoint:
        return 'no checkpoint was saved'
    metric = next((hook.key_indicators[0] for hook in runner.hooks if getattr(hook, 'best_ckpt_path', None)), '')
    best = f'best {metric}: {found["best_score"]:.3f} in' if metric else 'last checkpoint:'
    return f'{best} {checkpoint}\nnext: {PROG} test {config} {checkpoint} --show-dir visualizations'


def main(argv: list[str] | None = None) -> None:
    """Train.

    Raises:
        InputError: If the config, a dataset or a checkpoint cannot be used.
        RunStoppedError: If the training had to stop. The message names the last good checkpoint.
    """
    args = parse('train', argv)
    cfg = arguments.load_config(args)
    arguments.require_keys(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    with ending_well(cfg):
        apply_arguments(cfg, args)
        check_inputs(cfg)
        setup_cache_size_limit_of_dynamo()
        compat.register(init_default_scope=False)  # faster than by the runner, with all that they import
        run(cfg, args.config)


def run(cfg: Config, config: str) -> None:
    """Build a runner and train; say at the end what to run next with the config of this name.

    Raises:
        InputError: If the config cannot be built, does not work in its first step, or does not fit its checkpoint.
    """
    steps = StepCounter()
    with config_errors(cfg, steps.any):
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
        if cfg.get('resume') and cfg.get('load_from'):
            arguments.require_fitting(runner.model, cfg.load_from)
        runner.register_hook(steps)
        runner.register_hook(LoadingReportHook())
        runner.train()
    if is_main_process():
        print(outcome(runner, config))


class StepCounter(Hook):
    """Counts the steps that this process has made."""

    def __init__(self) -> None:
        self.steps = 0

    def after_train_iter(self, *args: Any, **options: Any) -> None:
        """Count one."""
        self.steps += 1

    def any(self) -> bool:
        """Whether there was one."""
        return self.steps > 0
