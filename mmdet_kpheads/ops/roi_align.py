"""RoIAlign (He et al. 2017, https://arxiv.org/abs/1703.06870), average and max, as weighted sums of rows.

B images, C channels, H x W cells, K boxes, P x Q bins a box, G x E sampling points a bin, S any shape.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import full_precision, torchvision_ops


class Bins(NamedTuple):
    """How a box is divided; the fields as in ``roi_align``."""

    output_size: tuple[int, int]
    spatial_scale: float
    sampling_ratio: int
    aligned: bool


class Points(NamedTuple):
    """The sampling points of those boxes (k of K) that have G x E points a bin, in cells."""

    chosen: Tensor  # (k,)
    image: Tensor  # (k, 1, 1, 1, 1, 1)
    y: Tensor  # (k, P, 1, G, 1)
    x: Tensor  # (k, 1, Q, 1, E)


def roi_align(
    x: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = 'avg',
    aligned: bool = True,
) -> Tensor:
    """Pool the features inside boxes into P x Q bins; differentiable in ``x``.

    Args:
        x: (B, C, H, W).
        rois: (K, 5): image number, then xyxy in units of 1 / spatial_scale cells. A box that ends before it
            starts has the size 0; a bin without sampling points is 0 (mmcv: an error, and -10000 for max).
        output_size: (P, Q).
        spatial_scale: Cells a unit of the boxes.
        sampling_ratio: Sampling points a bin and axis; 0 for one a cell.
        pool_mode: ``'avg'`` or ``'max'`` of the points of a bin.
        aligned: Cell centers lie at half cells. False is the first version: at whole cells, and boxes of at
            least one cell.

    Returns:
        (K, C, P, Q) in the dtype of ``x``.

    Raises:
        ValueError: If a shape or the mode is another.
    """
    if pool_mode not in ('avg', 'max'):
        raise ValueError(f"pool_mode must be 'avg' or 'max', got {pool_mode!r}")
    bins = Bins(output_size, spatial_scale, sampling_ratio, aligned)
    if pool_mode == 'max':
        return max_pool(x, rois, bins)[0]
    features, rois = _checked(x, rois)
    kernels = torchvision_ops(x.device.type)
    return (kernels.roi_align(features, rois, *bins) if kernels else _average(features, rois, bins)).to(x.dtype)


def _average(features: Tensor, rois: Tensor, bins: Bins) -> Tensor:
    table, out = _table(features), _blank(features, rois, bins, 0.0)
    for points in _points(rois, bins):
        rows, shares = _rows(points, features)  # (k, P, Q, G, E, 4)
        k, p, q, *grid = rows.shape[:-1]
        count = grid[0] * grid[1]
        shares = shares.reshape(k * p * q, -1) / count
        sums = F.embedding_bag(rows.reshape(k * p * q, -1), table, per_sample_weights=shares, mode='sum')
        out = out.index_copy(0, points.chosen, sums.view(k, p, q, -1))
    return out.permute(0, 3, 1, 2)


def max_pool(x: Tensor, rois: Tensor, bins: Bins) -> tuple[Tensor, Tensor, Tensor]:
    """Pool with max, and tell where each maximum lies.

    Args:
        x: (B, C, H, W).
        rois: (K, 5), as in ``roi_align``.
        bins: How a box is divided.

    Returns:
        Maxima (0 in a bin without points), their y and x in cells (-1 there); each (K, C, P, Q) as ``x``.
    """
    features, rois = _checked(x, rois)
    table = _table(features)
    pooled, top, left = (_blank(features, rois, bins, fill) for fill in (0.0, -1.0, -1.0))
    for points in _points(rois, bins):
        rows, shares = _rows(points, features)
        samples = F.embedding_bag(rows.reshape(-1, 4), table, per_sample_weights=shares.reshape(-1, 4), mode='sum')
        best = samples.view(*rows.shape[:3], -1, table.shape[1]).max(3)  # over the G * E points: (k, P, Q, C)
        pooled = pooled.index_copy(0, points.chosen, best.values)
        for places, coordinate in ((top, points.y), (left, points.x)):
            each = coordinate.expand(rows.shape[:-1]).flatten(3)
            places[points.chosen] = each.gather(3, best.indices)
    maxima, y, x_ = (t.permute(0, 3, 1, 2).to(x.dtype) for t in (pooled, top, left))
    return maxima, y, x_


def max_pool_gradient(grad: Tensor, rois: Tensor, y: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
    """Give the gradient of ``max_pool`` by the features, from where the maxima lie.

    Args:
        grad: (K, C, P, Q) gradient by the maxima.
        rois: (K, 5).
        y: (K, C, P, Q) in cells.
        x: (K, C, P, Q) in cells.
        shape: (B, C, H, W) of the features.

    Returns:
        (B, C, H, W) in full precision.
    """
    _, c, h, w = shape
    cells, shares = _cells(full_precision(y), full_precision(x), h, w)
    parts = (full_precision(grad)[..., None] * shares).masked_fill((y == -1)[..., None], 0)
    plane = rois[:, :1].long() * c + torch.arange(c, device=rois.device)  # (K, C)
    cells = cells + plane[:, :, None, None, None] * (h * w)
    return parts.new_zeros(shape.numel()).index_add(0, cells.flatten(), parts.flatten()).view(shape)


def _points(rois: Tensor, bins: Bins) -> Iterator[Points]:
    """Go through the boxes by their number of sampling points: one weighted sum wants bins of one size."""
    size, scale, ratio, aligned = bins
    corners = rois[:, [2, 1, 4, 3]] * scale - (0.5 if aligned else 0.0)  # y1, x1, y2, x2
    start = corners[:, :2]
    step = (corners[:, 2:] - start).clamp(min=0.0 if aligned else 1.0) / start.new_tensor(size)
    counts = torch.full_like(step, ratio) if ratio > 0 else step.ceil()
    for grid in counts.unique(dim=0).long().tolist():
        if min(grid) > 0:
            chosen = (counts == counts.new_tensor(grid)).all(1).nonzero()[:, 0]
            y, x = (_positions(start[chosen, i], step[chosen, i], size[i], grid[i]) for i in (0, 1))
            image = rois[chosen, 0].long().view(-1, 1, 1, 1, 1, 1)
            yield Points(chosen, image, y[:, :, None, :, None], x[:, None, :, None, :])


def _positions(start: Tensor, step: Tensor, bins: int, points: int) -> Tensor:
    """Give the sampling points (k, bins, points) along one axis, in cells."""
    bin_start = start[:, None] + torch.arange(bins, device=start.device) * step[:, None]
    within = (torch.arange(points, device=start.device) + 0.5) * step[:, None] / points
    return bin_start[:, :, None] + within[:, None, :]


def _rows(points: Points, features: Tensor) -> tuple[Tensor, Tensor]:
    """Give the four rows of the table around each point and their shares, both (k, P, Q, G, E, 4)."""
    h, w = features.shape[2:]
    cells, shares = _cells(points.y, points.x, h, w)
    return cells + points.image * (h * w), shares


def _cells(y: Tensor, x: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Give the four cells around each point, ``y * w + x`` (S, 4), and their bilinear shares (S, 4).

    A point up to one cell outside moves onto the border (the ops' rule since Detectron); further out it is
    worth nothing.
    """
    inside = (y >= -1) & (y <= h) & (x >= -1) & (x <= w)
    y, x = y.where(inside, 0).clamp(0, h - 1), x.where(inside, 0).clamp(0, w - 1)
    down, right = y.frac(), x.frac()
    shares = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], -1)
    top, left = y.long(), x.long()
    bottom, far = (top + 1).clamp(max=h - 1), (left + 1).clamp(max=w - 1)
    cells = torch.stack([top * w + left, top * w + far, bottom * w + left, bottom * w + far], -1)
    return cells, shares * inside[..., None]


def _table(features: Tensor) -> Tensor:
    """Give the features as one row of C values a cell, (B*H*W, C)."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _blank(features: Tensor, rois: Tensor, bins: Bins, fill: float) -> Tensor:
    return features.new_full((len(rois), *bins.output_size, features.shape[1]), fill)


def _checked(x: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Check the shapes, and give both in full precision; no gradient goes to the boxes."""
    if x.ndim != 4:
        raise ValueError(f'x must have the shape (B, C, H, W), got {tuple(x.shape)}')
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ValueError(f'rois must have the shape (K, 5): image, x1, y1, x2, y2; got {tuple(rois.shape)}')
    features = full_precision(x)
    return features, rois.detach().to(features.dtype)
