"""Detection heads: they only wire features, targets, losses and decoding together."""

from .centernet_head import CenterNetHead
from .cornernet_head import CornerNetHead

__all__ = ['CenterNetHead', 'CornerNetHead']
