"""What happens to memory that is no longer used.

By default glibc returns what a training step frees to the system, which clears every page again in the next step.
With it kept, a training step took 3 to 12 % less processor time on one busy core; peak memory was within 5 %
(docs/speed.md).
"""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT_BYTES = 1 << 30
MAPPED_BYTES = 1 << 25  # larger blocks come from the system one by one; the largest value that glibc takes
SETTINGS = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')  # of a user, which stand


def keep_freed_memory(kept_bytes: int = KEPT_BYTES) -> bool:
    """Keep up to so many freed bytes in this process and in those that it forks.

    Returns:
        Whether it is done: not under another C library than glibc, nor if the environment has a setting of glibc's.
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if os.name == 'posix' else None
    if mallopt is None or any(name in os.environ for name in SETTINGS):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, kept_bytes) and mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For imports: they leave no garbage, and the search for it takes a tenth of their time. What they made stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # later collections skip it
        gc.enable()
