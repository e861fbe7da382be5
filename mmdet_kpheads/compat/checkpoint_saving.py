"""Write files whole or not at all, and delete old checkpoints after the new one is complete.

mmengine writes a checkpoint in place and deletes the oldest one before. A kill or a full disk at that moment leaves a
truncated file, and with ``max_keep_ckpts=1`` nothing else.
"""

import os
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

_mmengine_before_train = CheckpointHook.before_train
_mmengine_save = CheckpointHook._save_checkpoint
_mmengine_save_best = CheckpointHook._save_best_checkpoint


def install() -> None:
    """Make mmengine save this way."""
    LocalBackend.put = put
    CheckpointHook.before_train = before_train
    CheckpointHook._save_checkpoint = save_checkpoint
    CheckpointHook._save_best_checkpoint = save_best_checkpoint


def put(backend: LocalBackend, obj: bytes, filepath: str | Path) -> None:
    """Write a file under a temporary name, and rename it once it is on the disk; replaces ``LocalBackend.put``.

    Args:
        backend: Not used.
        obj: The content.
        filepath: Where; its folder is made if needed.

    Raises:
        OSError: If it cannot be written. What was there before stays.
    """
    path = Path(filepath)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.tmp')
    try:
        with temporary.open('wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


class LateRemoval:
    """A file backend that removes nothing until it is told to.

    Args:
        backend: The backend that does all else.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.waiting: list[tuple[Any, str]] = []

    def __getattr__(self, name: str) -> Any:
        """Leave the rest to the backend."""
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Remove a file, later."""
        self.waiting.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        """Remove a folder, later."""
        self.waiting.append((self.backend.rmtree, path))

    def remove_now(self) -> None:
        """Remove what waits."""
        while self.waiting:
            remove, path = self.waiting.pop(0)
            remove(path)


def before_train(hook: CheckpointHook, runner: Any) -> None:
    """Replace the file backend of a hook after mmengine has set it."""
    _mmengine_before_train(hook, runner)
    hook.file_backend = LateRemoval(hook.file_backend)


def save_checkpoint(hook: CheckpointHook, runner: Any) -> None:
    """Save the checkpoint of a step, then remove old ones."""
    _mmengine_save(hook, runner)
    hook.file_backend.remove_now()


def save_best_checkpoint(hook: CheckpointHook, runner: Any, metrics: dict) -> None:
    """Save the best checkpoint, then remove the previous one."""
    _mmengine_save_best(hook, runner, metrics)
    hook.file_backend.remove_now()
