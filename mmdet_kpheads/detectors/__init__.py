"""Wrappers around whole detectors."""

from .flip_average import FlipAverage

__all__ = ['FlipAverage']
