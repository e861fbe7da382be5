"""Checkpoints of other repositories, turned into ours."""

from .conversion import Converted, convert
from .rules import SOURCES

__all__ = ['SOURCES', 'Converted', 'convert']
