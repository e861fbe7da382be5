"""The learned Gaussian of AutoAssign that says where in a box its object may lie: arXiv 2007.03496, section 3.2."""

from torch import Tensor

MIN_SIGMA = 1e-2  # strides: a sigma nearer to 0 acts as this one, so that nothing is divided by 0


def log_center_prior(offset: Tensor, mean: Tensor, sigma: Tensor) -> Tensor:
    """Logarithm of the prior; never above 0, finite for every sigma.

    Args:
        offset: (..., 2) point - box center in strides of the point's level.
        mean: (..., 2) in strides.
        sigma: (..., 2) in strides; its sign does not matter.

    Returns:
        (...) logarithm.
    """
    return log_gaussian(offset - mean, precision_of(sigma)).sum(-1)


def precision_of(sigma: Tensor) -> Tensor:
    """1 / (2 sigma^2), in 1 / strides^2."""
    return 0.5 / sigma.abs().clamp(min=MIN_SIGMA).square()


def log_gaussian(distance: Tensor, precision: Tensor) -> Tensor:
    """Logarithm of the prior along x and y, from offset - mean and :func:`precision_of` sigma."""
    return -distance.square() * precision
