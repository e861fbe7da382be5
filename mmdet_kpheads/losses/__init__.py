"""Losses: registered modules over ``functional/``, one loss per file."""

from .associative_embedding_loss import AssociativeEmbeddingLoss
from .corner_triplet_loss import CornerTripletLoss
from .gaussian_focal_loss import GaussianFocalLoss
from .giou_loss import GIoULoss
from .triplet_loss import TripletHardLoss, TripletSemiHardLoss

__all__ = [
    'AssociativeEmbeddingLoss',
    'CornerTripletLoss',
    'GIoULoss',
    'GaussianFocalLoss',
    'TripletHardLoss',
    'TripletSemiHardLoss',
]
