"""Keypoint- and point-based detection heads for MMDetection 3.x.

Importing the package checks the OpenMMLab stack, makes ``mmcv.ops`` importable where mmcv has no compiled ops, and
registers everything under the scope ``mmdet_kpheads``.
"""

from .compat import doctor_is_called, prepare
from .version import __version__

try:
    prepare()
except ImportError:
    if not doctor_is_called():  # the doctor tells by itself what is missing
        raise
else:
    from . import backbones, detectors, heads, hooks, losses, necks  # they import mmdet, which needs prepare() first


def register() -> None:
    """For notebooks: register mmdet's modules and make mmdet the default scope, so that its configs build."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


__all__ = ['__version__', 'backbones', 'detectors', 'heads', 'hooks', 'losses', 'necks', 'register']
