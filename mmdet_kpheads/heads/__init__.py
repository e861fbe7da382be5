"""Detection heads. They only connect features, targets, losses and decoding."""

from .autoassign_head import AutoAssignHead
from .center_prior import CenterPrior
from .centernet_head import CenterNetHead
from .cornernet_head import CornerNetHead

__all__ = ['AutoAssignHead', 'CenterNetHead', 'CenterPrior', 'CornerNetHead']
