"""Log lines without the counters that are zero."""

import re
from typing import Any

from mmengine.runner import LogProcessor as MMEngineLogProcessor

from ..registry import LOG_PROCESSORS

ZERO_COUNTER = re.compile(r' *\bnum_\w+: -?0(\.0*)?(?=\s|$)')


@LOG_PROCESSORS.register_module()
class LogProcessor(MMEngineLogProcessor):
    """Leaves counters (``num_dropped_boxes``, ``num_shared_cells`` and so on) out of a line where they are zero.

    A counter is the mean per step over the window, so that a single step shows. ``scalars.json`` and the visualization
    backends have the zeros too.

    Args:
        mean_pattern: Names of values that are averaged.
        options: Of mmengine's ``LogProcessor``.
    """

    def __init__(self, mean_pattern: str = r'.*(loss|time|data_time|grad_norm|num_).*', **options: Any) -> None:
        super().__init__(mean_pattern=mean_pattern, **options)

    def get_log_after_iter(self, runner: Any, batch_idx: int, mode: str) -> tuple[dict, str]:
        """The values of a step, and the line of the log."""
        values, line = super().get_log_after_iter(runner, batch_idx, mode)
        return values, ZERO_COUNTER.sub('', line)
