"""Train a detector; the arguments are those of mmdet's tools/train.py."""

import argparse
from typing import Any

from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..data.check import require_readable
from ..errors import InputError
from . import arguments

NO_AMP_DEVICES = ('cpu', 'mps')


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog='train', description='Train a detector')
    parser.add_argument('config', help='path of a config, or name of a carried one such as centernet/x.py')
    arguments.add_common_arguments(parser)
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate by batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint; without a path, from the latest one in the work folder',
    )
    return parser.parse_args(argv)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write --amp, --auto-scale-lr and --resume into the config.

    Raises:
        InputError: If there is no GPU for --amp, no base batch size to scale from, or no checkpoint to resume.
    """
    if args.amp:
        if get_device() in NO_AMP_DEVICES:
            raise InputError(f'--amp needs a GPU: mmengine has no mixed precision on {get_device()!r}')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
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
    """Stop before anything is built if data or weights are not there.

    Raises:
        InputError: Naming the file.
    """
    for split in ('train', 'val'):
        loader: Any = cfg.get(f'{split}_dataloader')
        if loader:
            truths = require_readable(loader.dataset)
            print(*(f'{split}: {len(truth.images)} images in {truth.path}' for truth in truths), sep='\n')
    arguments.require_checkpoints(cfg.model)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_arguments(argv)
    cfg = arguments.load_config(args)
    apply_arguments(cfg, args)
    check_inputs(cfg)
    setup_cache_size_limit_of_dynamo()
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.train()


if __name__ == '__main__':
    arguments.run(main)
