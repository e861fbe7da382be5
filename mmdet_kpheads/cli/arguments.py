"""Arguments that the subcommands share, and configs found by path or by name."""

import argparse
import difflib
import os
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from ..compat.config_bases import configs_root
from ..errors import InputError


def find_config(name: str) -> Path:
    """Find a config by its path, or by its name among the configs of the package.

    Args:
        name: A path, or ``centernet/x.py`` or ``mmdet_kpheads::centernet/x.py``.

    Raises:
        InputError: If there is none. The message names similar ones.
    """
    if Path(name).is_file():
        return Path(name)
    root = configs_root()
    relative = name.removeprefix('mmdet_kpheads::').removeprefix('configs/')
    if (root / relative).is_file():
        return root / relative
    known = {str(path.relative_to(root)): path.name for path in root.rglob('*.py') if '_base_' not in path.parts}
    near = difflib.get_close_matches(Path(name).name, known.values(), n=3)
    hint = [path for path, file in known.items() if file in near] or sorted(known)
    raise InputError(f'config not found: {name}, neither here nor in {root}; is it one of {", ".join(hint)}?')


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, with --cfg-options, --launcher and --work-dir applied.

    Raises:
        InputError: If the config does not exist or is not a valid config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.drop_in:
        import_module('mmdet_kpheads.drop_in')
    path = find_config(args.config)
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(parse_options(args.cfg_options))
    except (SyntaxError, NameError, KeyError, TypeError, FileNotFoundError) as error:
        raise InputError(f'config {path} cannot be read: {type(error).__name__}: {error}') from error
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', path.stem)
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


def require_checkpoint(path: str) -> None:
    """Raise ``InputError`` if a local checkpoint does not exist."""
    if '://' not in path and not Path(path).expanduser().is_file():
        raise InputError(f'checkpoint not found: {path}')
