"""Backbones that mmdet does not have; importing them registers them."""

from .dla import DLA

__all__ = ['DLA']
