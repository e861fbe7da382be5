"""Train a detector, with the arguments of mmdet's tools/train.py."""

import argparse
import sys
from typing import Any

import torch
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..data.check import require_readable
from ..errors import InputError
from ..optim.precision import CHOICES, mixed_precision, native_bfloat16
from . import arguments
from .subcommands import make_parser


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
        '--fast', action='store_true', help='mixed precision and convolutions channels last, where both are faster'
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


def use_mixed_precision(cfg: Config, choice: str) -> str:
    """Set the optimizer wrapper for a choice of --amp, and return it in words.

    Raises:
        InputError: Where it would not run or be slower than float32.
    """
    precision = mixed_precision(choice, torch.device(get_device()).type)
    if precision == 'fp16':
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic', dtype='float16')
        return 'float16 autocast with loss scaling'
    for key in ('loss_scale', 'dtype', 'use_fsdp'):  # of a config with AmpOptimWrapper
        cfg.optim_wrapper.pop(key, None)
    cfg.optim_wrapper.type = 'mmdet_kpheads.AutocastOptimWrapper'
    return 'bfloat16 autocast'


def apply_speed(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp and --fast into the config, and print in one line what they chose.

    Without bfloat16 instructions --fast has nothing to choose on a CPU: training channels last is slower there.
    """
    device = torch.device(get_device()).type
    slower = device != 'cuda' and not (device == 'cpu' and native_bfloat16(device))
    if args.fast and slower and not args.amp:
        print(f'speed: as without --fast, which is for GPUs and CPUs with bfloat16 instructions; here: {device}')
    elif args.fast:
        precision = use_mixed_precision(cfg, args.amp or 'auto')
        arguments.add_hook(cfg, 'mmdet_kpheads.MemoryFormatHook')
        print(f'speed: {precision}, channels last')
    elif args.amp:
        print(f'speed: {use_mixed_precision(cfg, args.amp)}')


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp, --fast, --auto-scale-lr and --resume into the config.

    Raises:
        InputError: If --amp does not fit the device, --auto-scale-lr has no base batch size, or --resume no such
            checkpoint.
    """
    apply_speed(cfg, args)
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
    runner.train()
