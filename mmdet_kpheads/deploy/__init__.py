"""Detectors as files for other runtimes: ONNX and torch.export's ``.pt2``."""

from .runtime import OnnxDetector

__all__ = ['OnnxDetector']
