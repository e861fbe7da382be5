"""Optimizer wrappers, and which number format is fast on a device."""

from .autocast_optim_wrapper import AutocastOptimWrapper

__all__ = ['AutocastOptimWrapper']
