"""Converts checkpoints of other repositories."""

from .renaming import Converted, convert

__all__ = ['Converted', 'convert']
