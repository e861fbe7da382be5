"""Errors that a user can fix."""

from typing import Any


class InputError(ValueError):
    """A config, file or dataset cannot be used. The message says what is wrong and where."""


def listed(names: Any, limit: int = 12) -> str:
    """Write names as a tuple, cut after ``limit``."""
    shown = ', '.join(repr(name) for name in list(names)[:limit])
    return f'({shown}{", ..." if len(names) > limit else ""})'
