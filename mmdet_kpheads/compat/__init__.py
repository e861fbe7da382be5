"""The only rooms that know versions: stack check, stand-in for mmcv's ops, checkpoints, base configs."""

import sys

from . import mmcv_ext, stack


def prepare() -> None:
    """Make ``import mmdet.models`` work; ``mmdet_kpheads/__init__.py`` calls it; harmless when repeated.

    Raises:
        ImportError: If mmengine, mmcv or mmdet is missing or does not fit.
    """
    stack.check()
    mmcv_ext.provide()
    from . import checkpoint_loading, config_bases, cpu_processes  # they import mmengine, which the check has seen to

    checkpoint_loading.register()
    config_bases.register()
    cpu_processes.register()


def doctor_is_called() -> bool:
    """Tell whether this is ``python -m mmdet_kpheads.doctor``, which must start where nothing else can."""
    return sys.argv[:1] == ['-m'] and 'mmdet_kpheads.doctor' in sys.orig_argv
