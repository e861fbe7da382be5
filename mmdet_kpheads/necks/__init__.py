"""Necks that mmdet does not have; importing them registers them."""

from .deconv_neck import DeconvNeck
from .dla_up import DLAUp

__all__ = ['DLAUp', 'DeconvNeck']
