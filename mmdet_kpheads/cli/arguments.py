"""Arguments that the subcommands share, and the config that they name."""

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from torch import nn

from mmdet_kpheads_cli.parsers import LAUNCHER_VARIABLES

from ..compat.checkpoint_loading import load_from_local
from ..compat.config_bases import find_config
from ..errors import InputError
from ..fitting import load_whole
from . import config_checks
from .explanations import first_line, where


def read_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, with --drop-in and --cfg-options applied.

    Raises:
        InputError: If the config does not exist, is not a valid config or has a misspelled key.
    """
    if args.drop_in:
        import_module('mmdet_kpheads.drop_in')
    path = find_config(args.config)
    try:
        options = parse_options(args.cfg_options)
        cfg = Config.fromfile(path)
        known = set(cfg)
        cfg.merge_from_dict(options)
    except Exception as error:  # a config is a program, which can raise anything
        reason = f'{where(error)}{type(error).__name__}: {first_line(error)}'
        raise InputError(f'config {path} cannot be read: {reason}') from error
    config_checks.require_spelling(cfg)
    config_checks.require_read(options, known)
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, with --launcher and --work-dir applied too.

    Raises:
        InputError: As ``read_config``, or if --launcher does not fit the environment.
    """
    variable = LAUNCHER_VARIABLES.get(args.launcher)
    if variable and variable not in os.environ:
        raise InputError(
            f'--launcher {args.launcher}: {variable} is not set, so the launcher did not start this process; '
            'use tools/dist_train.sh or tools/slurm_train.sh, or leave it out'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args)
    cfg.launcher = args.launcher
    cfg.work_dir = str(args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(cfg.filename).stem))
    return cfg


def parse_options(words: list[str] | None) -> dict[str, Any]:
    """Parse the ``key=value`` words of --cfg-options as mmengine does."""
    parsed = argparse.Namespace()
    DictAction([], 'options')(argparse.ArgumentParser(), parsed, words)
    options: dict[str, Any] = parsed.options
    return options


def pretrained(cfg: Any) -> list[str]:
    """List the checkpoints in the ``init_cfg`` entries of a model config."""
    if isinstance(cfg, list | tuple):
        return [found for item in cfg for found in pretrained(item)]
    if not isinstance(cfg, dict):
        return []
    own = [cfg['checkpoint']] if cfg.get('type') == 'Pretrained' and cfg.get('checkpoint') else []
    return own + [found for item in cfg.values() for found in pretrained(item)]


def require_checkpoints(model: ConfigDict) -> None:
    """Check the pretrained weights of a model: a local file must exist, a download is announced.

    Raises:
        InputError: If a local file is missing.
    """
    for checkpoint in dict.fromkeys(pretrained(model)):
        if '://' in checkpoint:
            print(f'pretrained weights: {checkpoint} is downloaded unless cached; a local file works too')
        else:
            require_checkpoint(checkpoint)


def require_folder(option: str, path: str | Path) -> Path:
    """Check that an output folder can be made and written to; nothing is made yet.

    Raises:
        InputError: If a part of the path is a file or not writable; the message begins with the option.
    """
    folder = Path(path)
    existing = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not existing.is_dir():
        raise InputError(f'{option}: {folder} is not a folder; a part of the path is a file')
    if not os.access(existing, os.W_OK):
        raise InputError(f'{option}: folder {existing} is not writable')
    return folder


def require_checkpoint(path: str) -> None:
    """Raise ``InputError`` if a local checkpoint does not exist."""
    if '://' not in path and not Path(path).expanduser().is_file():
        is_folder = Path(path).expanduser().is_dir()
        raise InputError(f'checkpoint {path} is a folder' if is_folder else f'checkpoint not found: {path}')


def require_fitting(model: nn.Module, checkpoint: str, config: str | None = None) -> None:
    """Load a local checkpoint into a model, all of it.

    Raises:
        InputError: If it does not fit the model of the config.
    """
    if '://' in checkpoint or not Path(checkpoint).expanduser().is_file():
        return
    load_whole(model, load_from_local(checkpoint, map_location='cpu'), checkpoint, config)
