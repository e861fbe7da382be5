"""Detection heads: they only wire features, targets, losses and decoding together."""

from .centernet_head import CenterNetHead

__all__ = ['CenterNetHead']
