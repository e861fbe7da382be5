"""Find the checkpoint that a run is resumed from."""

import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from ..compat.checkpoint_loading import load
from ..errors import InputError
from .arguments import require_checkpoint


class Saved(NamedTuple):
    """A checkpoint that can be read; the newest compares greatest."""

    has_optimizer: bool
    iteration: int
    path: str
    seed: int | None


def read_saved(path: str) -> Saved:
    """Read what says how far a checkpoint is.

    Raises:
        InputError: If the file cannot be read, or is no checkpoint of a training.
    """
    checkpoint: dict[str, Any] = load(path, map_location='cpu', mmap=zipfile.is_zipfile(path))
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict) or 'iter' not in meta:
        raise InputError(f'checkpoint {path} is not of a training: it does not say at which iteration it was saved')
    return Saved('optimizer' in checkpoint, meta['iter'], path, meta.get('seed'))


def checkpoint_folders(cfg: Config) -> list[Path]:
    """The folders that a run writes checkpoints to: the work dir, and that of ``out_dir`` of the CheckpointHook."""
    out_dir = (cfg.get('default_hooks', {}).get('checkpoint') or {}).get('out_dir')
    folders = [cfg.work_dir, os.path.join(out_dir, os.path.basename(os.path.normpath(cfg.work_dir)))] if out_dir else []
    return [Path(folder) for folder in folders or [cfg.work_dir]]


def readable_checkpoints(cfg: Config, pattern: str) -> tuple[list[Saved], list[str]]:
    """The checkpoints of a run whose names match a pattern, and the files that cannot be read."""
    readable, unreadable = [], []
    for path in (str(path) for folder in checkpoint_folders(cfg) for path in sorted(folder.glob(pattern))):
        try:
            readable.append(read_saved(path))
        except (InputError, OSError):
            unreadable.append(path)
    return readable, unreadable


def newest_checkpoint(cfg: Config) -> tuple[Saved | None, list[str]]:
    """Find the newest checkpoint of a run that can be read, whatever ``last_checkpoint`` says.

    Returns:
        The checkpoint, or None; and the files that cannot be read.
    """
    readable, unreadable = readable_checkpoints(cfg, '*.pth')
    return max(readable, default=None, key=lambda saved: saved[:3]), unreadable


def resume(cfg: Config) -> None:
    """Write into a config which checkpoint its run resumes from, and the random seed of that run.

    Args:
        cfg: With ``resume=True``, and ``load_from`` unless the newest checkpoint is wanted.

    Raises:
        InputError: If the checkpoint is missing or cannot be read.
    """
    if cfg.get('load_from'):
        saved = _named_checkpoint(cfg.load_from)
    else:
        saved = _newest_with_messages(cfg)
        cfg.resume, cfg.load_from = bool(saved), saved.path if saved else None
    if saved and saved.seed is not None and cfg.setdefault('randomness', {}).get('seed') is None:
        cfg.randomness['seed'] = saved.seed  # before samplers and workers are built with another one


def _named_checkpoint(path: str) -> Saved | None:
    if '://' in path:
        return None
    require_checkpoint(path)
    return read_saved(os.path.expanduser(path))


def _newest_with_messages(cfg: Config) -> Saved | None:
    saved, unreadable = newest_checkpoint(cfg)
    for path in unreadable:
        print(f'resume: passed over {path}: it is cut off, or not of a training')
    if unreadable and not saved:
        raise InputError(f'--resume: no checkpoint in {cfg.work_dir} can be read; move the files away to start anew')
    print(f'resume: {saved.path if saved else f"no checkpoint in {cfg.work_dir}, so from the beginning"}')
    return saved
