"""Wrappers around whole detectors."""

from .flip_tta import FlipAverage, FlipJoin

__all__ = ['FlipAverage', 'FlipJoin']
