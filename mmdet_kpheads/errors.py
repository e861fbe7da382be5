"""What the user can mend, and how it is written."""

from typing import Any


class InputError(ValueError):
    """A config, file or data set is not as it must be; the message says what and where."""


def listed(names: Any, limit: int = 12) -> str:
    """Write names as a tuple, shortened after ``limit``."""
    shown = ', '.join(repr(name) for name in list(names)[:limit])
    return f'({shown}{", ..." if len(names) > limit else ""})'
