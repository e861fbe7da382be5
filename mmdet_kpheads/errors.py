"""Errors that a user can fix."""

from typing import Any


class InputError(ValueError):
    """A config, file or dataset cannot be used. The message says what is wrong and where."""


class RunStoppedError(Exception):
    """A run stopped before its end, and not because of its input. The message says why in one line.

    Args:
        message: The reason.
        exit_code: Exit code of the command.
    """

    def __init__(self, message: str, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def listed(names: Any, limit: int = 12) -> str:
    """Write names as a tuple, cut after ``limit``."""
    shown = ', '.join(repr(name) for name in list(names)[:limit])
    return f'({shown}{", ..." if len(names) > limit else ""})'
