"""Train a detector, with the arguments of mmdet's tools/train.py."""

import argparse
import sys
from typing import Any

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from ..data.check import require_readable
from ..errors import InputError
from ..hooks import LoadingReportHook
from ..optim.precision import CHOICES
from . import arguments
from .speed import speed_up_training
from .subcommands import PROG, make_parser


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser('train')
    parser.add_argument('config', help=arguments.CONFIG_HELP)
    arguments.add_common_arguments(parser)
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=CHOICES,
        help='mixed precision: bf16, or fp16 with loss scaling; by itself what is native on the device',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='what is faster on the device: mixed precision, convolutions channels last, a fused optimizer',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile backbone and neck: a minute first; measure whether it pays'
    )
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the total batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from this checkpoint; without a path, from the latest one in the work dir',
    )
    return parser.parse_args(_with_explicit_amp(sys.argv[1:] if argv is None else argv))


def _with_explicit_amp(argv: list[str]) -> list[str]:
    """``--amp`` by itself as ``--amp=auto``: as in mmdet's script the config may follow it."""
    following = [*argv[1:], '']
    return [
        '--amp=auto' if word == '--amp' and after not in CHOICES else word
        for word, after in zip(argv, following, strict=True)
    ]


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp, --fast, --compile, --auto-scale-lr and --resume into the config; print what makes it fast.

    Raises:
        InputError: If --amp does not fit the device, --auto-scale-lr has no base batch size, or --resume no such
            checkpoint.
    """
    if args.amp or args.fast or args.compile:
        device = torch.device(get_device()).type
        print(f'speed: {speed_up_training(cfg, device, args.amp, args.fast, args.compile)}')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError('--auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('load_from'):
        arguments.require_checkpoint(cfg.load_from)


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
    """
    args = parse_arguments(argv)
    cfg = arguments.load_config(args)
    apply_arguments(cfg, args)
    check_inputs(cfg)
    setup_cache_size_limit_of_dynamo()
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(LoadingReportHook())
    runner.train()
    if is_main_process():
        print(outcome(runner, args.config))
