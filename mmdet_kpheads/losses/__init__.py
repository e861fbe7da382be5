"""Losses: thin modules over ``functional/``."""

from .gaussian_focal_loss import GaussianFocalLoss

__all__ = ['GaussianFocalLoss']
