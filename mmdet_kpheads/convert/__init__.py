"""Converts checkpoints of other repositories."""

from .conversion import Converted, convert

__all__ = ['Converted', 'convert']
