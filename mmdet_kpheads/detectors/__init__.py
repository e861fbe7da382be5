"""Wrappers around whole detectors."""

from .flip_tta import FlipAverage, FlipJoin
from .onnx_model import OnnxModel

__all__ = ['FlipAverage', 'FlipJoin', 'OnnxModel']
