"""Errors and warnings about what a user can fix."""

from pathlib import PurePath
from reprlib import Repr
from typing import Any

SHORTENED = Repr()
SHORTENED.maxstring = SHORTENED.maxother = 250


class InputError(ValueError):
    """A config, file or dataset cannot be used. The message says what is wrong and where."""


class KpheadsWarning(UserWarning):
    """Every warning of this package. It reaches the terminal of a command, and is an error in the tests.

    ``warnings.filterwarnings('ignore', category=KpheadsWarning)`` silences them all.
    """


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


def shown(value: Any) -> str:
    """Write a value or path from a file on one line: unprintable characters escaped, long and deep values shortened."""
    text = str(value)[: SHORTENED.maxstring + 1] if isinstance(value, PurePath) else ''
    return text if text.isprintable() and 0 < len(text) <= SHORTENED.maxstring else SHORTENED.repr(text or value)
