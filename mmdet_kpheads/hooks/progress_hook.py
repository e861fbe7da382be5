"""Shows how far a validation or test is, and the time left."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TextIO

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS

CLEAR_LINE = '\r\033[K'
REWRITE_S, LINE_S = 0.2, 15.0  # between two outputs on a terminal and elsewhere


@HOOKS.register_module()
class ProgressHook(Hook):
    """Rewrites one line on a terminal; writes a line from time to time into a pipe or file.

    Args:
        stream: Where to; by default the standard output.
        clock: Seconds.
    """

    priority = 'LOW'  # runs after IterTimerHook has stored the time left

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.written = 0.0

    def before_val_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self.written = self.clock()

    def before_test_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self.written = self.clock()

    def after_val_iter(self, runner: Runner, batch_idx: int, *args: Any, **options: Any) -> None:
        """Show the progress of a validation."""
        self.show(runner, 'val', batch_idx + 1, len(runner.val_dataloader))

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **options: Any) -> None:
        """Show the progress of a test."""
        self.show(runner, 'test', batch_idx + 1, len(runner.test_dataloader))

    def show(self, runner: Runner, mode: str, done: int, total: int) -> None:
        """Write, if it is time to."""
        stream = self.stream or sys.stdout
        is_terminal, now = stream.isatty(), self.clock()
        if not is_main_process() or (now - self.written < (REWRITE_S if is_terminal else LINE_S) and done < total):
            return
        self.written = now
        left = timedelta(seconds=int(runner.message_hub.get_info('eta', 0)))
        line = f'{mode} [{done}/{total}]  eta: {left}'
        if is_terminal:
            stream.write(f'{CLEAR_LINE}{line if done < total else ""}')
        elif done < total:
            stream.write(f'{line}\n')
        stream.flush()
