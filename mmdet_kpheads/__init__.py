"""Keypoint- and point-based detection heads for MMDetection 3.x.

Importing the package registers its modules under the scope ``mmdet_kpheads``. It also provides ``mmcv._ext`` if mmcv
has no compiled ops, and declares the classes in mmengine's checkpoints as safe to ``torch.load``. It changes nothing in
mmengine or mmdet; ``mmdet_kpheads.compat.install()`` does that.

If mmengine, mmcv or mmdet is missing or does not fit, the import warns, and every name of the package raises an
``ImportError`` with the problem and its cure.
"""

import warnings
from typing import TYPE_CHECKING

from .compat import prepare
from .errors import KpheadsWarning
from .version import __version__

_broken_stack: str | None = None
try:
    prepare()
except ImportError as error:
    _broken_stack = str(error)
    warnings.warn(_broken_stack, KpheadsWarning, stacklevel=2)
else:  # these import mmdet.models, which needs prepare() first
    from . import backbones, detectors, heads, hooks, inference, losses, necks, optim
    from .backbones import DLA
    from .compat import register
    from .compat.config_bases import find_config
    from .detectors import FlipAverage, FlipJoin, OnnxModel
    from .heads import AutoAssignHead, CenterNetHead, CenterPrior, CornerNetHead
    from .inference import load_model
    from .losses import (
        AssociativeEmbeddingLoss,
        CornerTripletLoss,
        GaussianFocalLoss,
        GIoULoss,
        TripletHardLoss,
        TripletSemiHardLoss,
    )
    from .necks import DeconvNeck, DLAUp

__all__ = [
    'DLA',
    'AssociativeEmbeddingLoss',
    'AutoAssignHead',
    'CenterNetHead',
    'CenterPrior',
    'CornerNetHead',
    'CornerTripletLoss',
    'DLAUp',
    'DeconvNeck',
    'FlipAverage',
    'FlipJoin',
    'GIoULoss',
    'GaussianFocalLoss',
    'OnnxModel',
    'TripletHardLoss',
    'TripletSemiHardLoss',
    '__version__',
    'backbones',
    'detectors',
    'find_config',
    'heads',
    'hooks',
    'inference',
    'load_model',
    'losses',
    'necks',
    'optim',
    'register',
]

if _broken_stack and not TYPE_CHECKING:  # a type checker would take any name for defined

    def __getattr__(name: str) -> object:
        """Raise the problem of the stack for each name that it left undefined."""
        if name in __all__:
            raise ImportError(_broken_stack)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
