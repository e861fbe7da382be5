"""Finds the config and the checkpoint of a training in its work dir."""

from pathlib import Path

from mmengine.config import Config

from ..cli.resuming import newest_checkpoint, readable_checkpoints
from ..errors import InputError, shown
from .curves import training_logs


def find_run_config(work_dir: Path) -> Path:
    """The config of the newest training, or else the newest one in the work dir, which a test writes as well.

    Raises:
        InputError: If there is no such folder, or no config in it.
    """
    if not work_dir.is_dir():
        raise InputError(f'work dir not found: {shown(work_dir)}')
    configs = [path.with_name('config.py') for path in training_logs(work_dir)]
    configs = [path for path in configs if path.is_file()]
    configs = configs or sorted(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not configs:
        raise InputError(
            f'{shown(work_dir)} has no config: name it with --config, or is it not the --work-dir of a run?'
        )
    return configs[-1]


def find_run_checkpoint(cfg: Config) -> str:
    """The best checkpoint that a training saved, or else the newest one, in the work dir of a config.

    Raises:
        InputError: If there is none that can be read; the message names one that cannot.
    """
    best, _ = readable_checkpoints(cfg, 'best_*.pth')
    if best:
        return max(best, key=lambda saved: saved.iteration).path
    newest, unreadable = newest_checkpoint(cfg)
    if newest:
        return newest.path
    if unreadable:
        raise InputError(f'checkpoint {unreadable[-1]} cannot be read: it is cut off, or not of a training')
    raise InputError(f'{shown(Path(cfg.work_dir))} has no checkpoint: name one with --checkpoint')
