"""What the commands share: arguments, configs found by path or by name, errors of one line."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from ..compat.config_bases import configs_root
from ..errors import InputError

EXIT_INPUT_ERROR = 2


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that mmdet's train.py and test.py both take."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default work_dirs/<config name>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='change the config: key.in.config=value, lists as key="[a,b]" or key=a,b, without white space',
    )
    parser.add_argument(
        '--drop-in', action='store_true', help="put our heads in the place of mmdet's: its configs then run as they are"
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def run(main: Callable[[list[str] | None], None], argv: list[str] | None = None) -> None:
    """Call a command; an :class:`InputError` becomes one line and exit code 2."""
    try:
        main(argv)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        raise SystemExit(EXIT_INPUT_ERROR) from None


def find_config(name: str) -> Path:
    """Find a config by its path, or by its name among those that the package carries.

    Args:
        name: A path, or ``centernet/x.py`` or ``mmdet_kpheads::centernet/x.py``.

    Raises:
        InputError: If there is none; it names similar ones.
    """
    if Path(name).is_file():
        return Path(name)
    root = configs_root()
    carried = name.removeprefix('mmdet_kpheads::').removeprefix('configs/')
    if (root / carried).is_file():
        return root / carried
    carried_paths = [path for path in root.rglob('*.py') if '_base_' not in path.parts]
    known = {str(path.relative_to(root)): path.name for path in carried_paths}
    near = difflib.get_close_matches(Path(name).name, known.values(), n=3)
    hint = [path for path, file in known.items() if file in near] or sorted(known)
    raise InputError(f'config not found: {name}, neither here nor in {root}; is it one of {", ".join(hint)}?')


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that the arguments name, with their changes and the work folder applied.

    Raises:
        InputError: If the config does not exist or is no valid config.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.drop_in:
        import_module('mmdet_kpheads.drop_in')
    path = find_config(args.config)
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(args.cfg_options or {})
    except (SyntaxError, NameError, KeyError, TypeError, FileNotFoundError) as error:
        raise InputError(f'config {path} cannot be read: {type(error).__name__}: {error}') from error
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or os.path.join('work_dirs', path.stem)
    return cfg


def pretrained(cfg: Any) -> list[str]:
    """List the checkpoints that the ``init_cfg`` entries of a model config ask for."""
    if isinstance(cfg, list | tuple):
        return [found for item in cfg for found in pretrained(item)]
    if not isinstance(cfg, dict):
        return []
    own = [cfg['checkpoint']] if cfg.get('type') == 'Pretrained' and cfg.get('checkpoint') else []
    return own + [found for item in cfg.values() for found in pretrained(item)]


def require_checkpoints(model: ConfigDict) -> None:
    """Check the weights that a model starts from: a file must exist; a download is announced.

    Raises:
        InputError: If a local file is missing.
    """
    for checkpoint in dict.fromkeys(pretrained(model)):
        if '://' in checkpoint:
            print(f'weights are fetched from {checkpoint} unless cached; a local file works too')
        else:
            require_checkpoint(checkpoint)


def require_checkpoint(path: str) -> None:
    """Raise ``InputError`` if a local checkpoint does not exist."""
    if '://' not in path and not Path(path).expanduser().is_file():
        raise InputError(f'checkpoint not found: {path}')
