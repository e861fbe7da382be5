"""Arguments that the subcommands share, and the config that they name."""

import argparse
import difflib
import os
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmdet_kpheads_cli.parsers import LAUNCHER_VARIABLES

from ..compat.checkpoint_loading import load_from_local
from ..compat.config_bases import find_config
from ..errors import InputError, listed

RUNNER_KEYS = sorted(signature(Runner.__init__).parameters)


def read_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, with --drop-in and --cfg-options applied.

    Raises:
        InputError: If the config does not exist, is not a valid config or has a misspelled key.
    """
    if args.drop_in:
        import_module('mmdet_kpheads.drop_in')
    path = find_config(args.config)
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(parse_options(args.cfg_options))
    except (SyntaxError, NameError, KeyError, TypeError, FileNotFoundError) as error:
        raise InputError(f'config {path} cannot be read: {type(error).__name__}: {error}') from error
    require_spelling(cfg)
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
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(cfg.filename).stem)
    return cfg


def parse_options(words: list[str] | None) -> dict[str, Any]:
    """Parse the ``key=value`` words of --cfg-options as mmengine does."""
    parsed = argparse.Namespace()
    DictAction([], 'options')(argparse.ArgumentParser(), parsed, words)
    options: dict[str, Any] = parsed.options
    return options


def require_spelling(cfg: Config) -> None:
    """Raise ``InputError`` for a top-level key that is almost one of mmengine's, which mmengine would ignore."""
    for key in cfg:
        near = difflib.get_close_matches(key, RUNNER_KEYS, n=1, cutoff=0.9)
        if near and key not in RUNNER_KEYS and near[0] not in key:
            raise InputError(f'config has the key {key!r}, which nothing reads; did you mean {near[0]!r}?')


def require_keys(cfg: Config, *keys: str) -> None:
    """Raise ``InputError`` if a config lacks one of the keys."""
    if missing := [key for key in keys if not cfg.get(key)]:
        raise InputError(f'config has no {", no ".join(missing)}; is it meant to be a base of another one?')


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


def require_checkpoint(path: str) -> None:
    """Raise ``InputError`` if a local checkpoint does not exist."""
    if '://' not in path and not Path(path).expanduser().is_file():
        raise InputError(f'checkpoint not found: {path}')


def require_fitting(model: nn.Module, checkpoint: str) -> None:
    """Load a local checkpoint into a model, all of it; mmengine goes on with what does not fit at random.

    Raises:
        InputError: If weights of the model are missing in the checkpoint, or have another shape.
    """
    if '://' in checkpoint or not Path(checkpoint).expanduser().is_file():
        return
    content = load_from_local(checkpoint, map_location='cpu')
    weights = {name.removeprefix('module.'): value for name, value in content.get('state_dict', content).items()}
    inner: Any = model.module if is_model_wrapper(model) or isinstance(model, BaseTTAModel) else model
    try:
        missing = inner.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        _, *lines = str(error).splitlines()
        raise InputError(f'checkpoint {checkpoint} does not fit the config: {lines[0].strip()}') from error
    if missing := [name for name in missing if 'num_batches_tracked' not in name]:
        raise InputError(f'checkpoint {checkpoint} does not fit the config: it lacks {listed(missing, 3)}')
