"""Keypoint- and point-based detection heads for MMDetection 3.x.

Importing the package checks the OpenMMLab stack, makes ``mmcv.ops`` importable where mmcv has no compiled ops, and
registers everything under the scope ``mmdet_kpheads``.
"""

from .compat import prepare

prepare()

from . import heads, hooks, losses  # noqa: E402  (they import mmdet, which needs prepare() first)
from .version import __version__  # noqa: E402

__all__ = ['__version__', 'heads', 'hooks', 'losses']
