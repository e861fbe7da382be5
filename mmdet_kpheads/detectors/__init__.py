"""What wraps a whole detector."""

from .flip_average import FlipAverage

__all__ = ['FlipAverage']
