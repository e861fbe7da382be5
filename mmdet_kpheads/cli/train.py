"""Train a detector, with the arguments of mmdet's tools/train.py."""

import argparse
import shlex
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_kpheads_cli.parsers import PROG, parse

from ..compat import shared_annotations
from ..data.check import require_readable
from ..errors import InputError
from ..hooks import LoadingReportHook
from . import arguments, config_checks
from .failures import config_errors, ending_well
from .header import print_plan, print_run, print_versions
from .resuming import resume
from .running import build_runner
from .showing import draw, print_pictures, show_progress, skip_zero_counters
from .speed import add_hook, speed_up_training

OWN_HOOKS = ('mmdet_kpheads.FiniteLossHook', 'mmdet_kpheads.ResumeHook')
# Without it each process validates with batch normalization statistics of its own, and those of the first are saved.
DISTRIBUTED_HOOKS = ('SyncBuffersHook',)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp, --fast, --compile, --show-dir, --auto-scale-lr and --resume into the config.

    Prints what makes it fast. Also adds the hooks that let a run end well, where the config lacks them.

    Raises:
        InputError: If --amp does not fit the device, --auto-scale-lr has no base batch size, or --resume no such
            checkpoint.
    """
    if args.amp or args.fast or args.compile:
        device = torch.device(get_device()).type
        print(f'speed: {speed_up_training(cfg, device, args.amp, args.fast, args.compile)}')
    if args.show_dir:
        draw(cfg, val_out_dir=args.show_dir, interval=args.show_every)
    skip_zero_counters(cfg)
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


def check_config(cfg: Config) -> None:
    """Check what a training needs of its config.

    Raises:
        InputError: If something is missing or makes no sense.
    """
    config_checks.require_keys(cfg, 'model', 'train_dataloader', 'train_cfg', 'optim_wrapper')
    config_checks.require_loop(cfg, 'val')
    config_checks.require_numbers(cfg)
    config_checks.require_optimizer(cfg)
    arguments.require_folder('--work-dir', cfg.work_dir)


def check_inputs(cfg: Config) -> None:
    """Check datasets and pretrained weights before anything is built; print the model and the data.

    Raises:
        InputError: If one cannot be used. The message names the file.
    """
    loaders = {split: cfg.get(f'{split}_dataloader') for split in ('train', 'val')}
    print_plan(cfg, {split: require_readable(loader.dataset) for split, loader in loaders.items() if loader})
    arguments.require_checkpoints(cfg.model)


def outcome(runner: Runner, args: argparse.Namespace) -> str:
    """The best checkpoint with its metric, or else the last one, and the commands to test it and to report on it."""
    found = runner.message_hub.runtime_info
    checkpoint = found.get('best_ckpt') or found.get('last_ckpt')
    if not checkpoint:
        return 'no checkpoint was saved'
    metric = next((hook.key_indicators[0] for hook in runner.hooks if getattr(hook, 'best_ckpt_path', None)), '')
    best = f'best {metric}: {found["best_score"]:.3f} in' if metric else 'last checkpoint:'
    command = [PROG, 'test', args.config, checkpoint, '--show-dir', 'visualizations']
    command += ['--drop-in'] if args.drop_in else []
    command += ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    report = [PROG, 'report', runner.cfg.work_dir]
    return f'{best} {checkpoint}\nnext: {shlex.join(command)}\n      {shlex.join(report)}'


def main(argv: list[str] | None = None) -> None:
    """Train.

    Raises:
        InputError: If the config, a dataset or a checkpoint cannot be used.
        RunStoppedError: If the training had to stop. The message names the last good checkpoint.
    """
    args = parse('train', argv)
    cfg = arguments.load_config(args)
    with ending_well(cfg), shared_annotations.sharing():
        with config_errors(cfg):
            check_config(cfg)
            print_versions()
            apply_arguments(cfg, args)
            check_inputs(cfg)
        run(cfg, args)


def run(cfg: Config, args: argparse.Namespace) -> None:
    """Build a runner and train; print at the end what to run next with these arguments.

    Raises:
        InputError: If the config cannot be built, does not work in its first step, or does not fit its checkpoint.
    """
    steps = StepCounter()
    with config_errors(cfg, steps.any):
        runner = build_runner(cfg)
        if cfg.get('resume') and cfg.get('load_from'):
            arguments.require_fitting(runner.model, cfg.load_from, args.config)
        runner.register_hook(steps)
        runner.register_hook(LoadingReportHook())
        show_progress(runner)
        print_run(runner)
        runner.train()
    if is_main_process():
        print_pictures(runner)
        print(outcome(runner, args))


class StepCounter(Hook):
    """Knows whether training, and the validation that runs now, have made a step in this process."""

    def __init__(self) -> None:
        self.trained, self.validating, self.validated = False, False, False

    def after_train_iter(self, *args: Any, **options: Any) -> None:
        """A step of the training is made."""
        self.trained = True

    def before_val(self, *args: Any, **options: Any) -> None:
        """A validation begins."""
        self.validating = True

    def after_val(self, *args: Any, **options: Any) -> None:
        """A validation is complete, with its metric."""
        self.validating, self.validated = False, True

    def any(self) -> bool:
        """Whether an error that is raised now can no longer be due to the config alone."""
        return self.trained and (self.validated or not self.validating)
