"""Checkpoints of other repositories, turned into ours."""

from .checkpoint import Converted, convert
from .sources import SOURCES

__all__ = ['SOURCES', 'Converted', 'convert']
