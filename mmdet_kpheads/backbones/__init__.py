"""Backbones that mmdet lacks; importing registers them."""

from .dla import DLA

__all__ = ['DLA']
