"""Distances between all pairs of embeddings, exact at 0 and with a finite gradient there.

Every metric uses ``torch.cdist`` without matrix multiplication: equal rows are exactly 0 apart, TF32 and autocast have
no effect, and the gradient at distance 0 is 0.

Shape legend: M embeddings, D channels; ``...`` any number of independent sets.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor], Tensor]  # (..., M, D) -> (..., M, M), row = anchor

NO_DIRECTION = 1e-6  # rows shorter than this have no direction; tensorflow_addons' l2_normalize uses the same bound
BACKWARD_ELEMENTS = 1 << 26  # CUDA's cdist backward holds (rows, M, D) numbers: 256 MiB of float32 per chunk of rows


def widened(x: Tensor) -> Tensor:
    """``x`` in float32; float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def l2_distance(x: Tensor) -> Tensor:
    """Euclidean distances: (..., M, D) -> (..., M, M)."""
    return pairwise(x, p=2.0)


def squared_l2_distance(x: Tensor) -> Tensor:
    """Squared Euclidean distances: (..., M, D) -> (..., M, M)."""
    return l2_distance(x).square()


def angular_distance(x: Tensor) -> Tensor:
    """1 - cosine: (..., M, D) -> (..., M, M), in [0, 2].

    Computed as half the squared distance of the unit vectors: the same number, but never below 0. The cosine with a row
    shorter than ``NO_DIRECTION`` is 0, and that row gets no gradient.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    has_direction = norm > NO_DIRECTION
    unit = torch.where(has_direction, x / torch.where(has_direction, norm, 1.0), 0.0)
    undirected = (~has_direction).to(x.dtype)  # (..., M, 1)
    return (squared_l2_distance(unit) + undirected + undirected.transpose(-1, -2)) / 2


METRICS: dict[str, Distance] = {
    'L2': l2_distance,
    'squared-L2': squared_l2_distance,
    'angular': angular_distance,
}


def find_distance(distance: str | Distance) -> Distance:
    """The distance of that name; a callable is returned unchanged.

    Raises:
        ValueError: If there is no such name.
    """
    if callable(distance):
        return distance
    if distance not in METRICS:
        raise ValueError(f'distance must be one of {tuple(METRICS)} or a callable, but got {distance!r}')
    return METRICS[distance]


def pairwise(x: Tensor, p: float) -> Tensor:
    """Lp distances of all pairs, (..., M, D) -> (..., M, M), in memory of that size on every device."""
    rows = max(1, BACKWARD_ELEMENTS // max(1, x.numel()))
    parts = [between(part, x, p) for part in x.split(rows, dim=-2)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def between(first: Tensor, second: Tensor, p: float) -> Tensor:
    """Lp distances (..., M, D), (..., N, D) -> (..., M, N); no matrix product, which rounds small ones away."""
    return torch.cdist(first, second, p, 'donot_use_mm_for_euclid_dist')
