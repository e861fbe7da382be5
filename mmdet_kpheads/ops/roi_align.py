"""RoIAlign (He et al. 2017, https://arxiv.org/abs/1703.06870), average and max, as weighted sums of table rows.

Shape legend: B images, C channels, H x W cells, K boxes, P x Q bins per box, G x E samples per bin, S any shape.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .torchvision_kernels import full_precision, torchvision_op


class Bins(NamedTuple):
    """How a box is divided into bins; the fields are arguments of ``roi_align``."""

    output_size: tuple[int, int]
    spatial_scale: float
    sampling_ratio: int
    aligned: bool


class SamplingGrid(NamedTuple):
    """Sampling locations, in cells, of the k of K boxes that have G x E samples per bin."""

    boxes: Tensor  # (k,) indices
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
        rois: (K, 5): image index, then xyxy in units of 1 / spatial_scale cells. A reversed box has size 0, and
            a bin without samples is 0 (mmcv raises an error, and max returns -10000), as is a box with NaN. A box is
            clamped to one map's size around the map.
        output_size: (P, Q).
        spatial_scale: Cells per unit of the boxes.
        sampling_ratio: Samples per bin along each axis; 0 for one per cell.
        pool_mode: ``'avg'`` or ``'max'`` over the samples of a bin.
        aligned: Place cell centers at half cells. False is the original version: centers at whole cells, boxes
            of at least one cell.

    Returns:
        (K, C, P, Q) in the dtype of ``x``.

    Raises:
        ValueError: If a shape or the mode is invalid; on a CPU also if a box is of an image that is not in ``x``.
    """
    if pool_mode not in ('avg', 'max'):
        raise ValueError(f"pool_mode must be 'avg' or 'max', got {pool_mode!r}")
    bins = Bins(output_size, spatial_scale, sampling_ratio, aligned)
    if pool_mode == 'max':
        return max_pool(x, rois, bins)[0]
    features, rois = _validated(x, rois, bins)
    kernel = torchvision_op('roi_align', x.device.type)
    if kernel and features.numel():  # it reads foreign memory if the map has no cell
        return kernel(features, rois, *bins).to(x.dtype)
    return _average(features, rois, bins).to(x.dtype)


def _average(features: Tensor, rois: Tensor, bins: Bins) -> Tensor:
    table, out = _row_table(features), _blank(features, rois, bins, 0.0)
    for grid in _sampling_grids(features, rois, bins):
        rows, weights = _bilinear_rows(grid, features)  # (k, P, Q, G, E, 4)
        k, p, q, g, e = rows.shape[:-1]
        weights = weights.reshape(k * p * q, -1) / (g * e)
        means = F.embedding_bag(rows.reshape(k * p * q, -1), table, per_sample_weights=weights, mode='sum')
        out = out.index_copy(0, grid.boxes, means.view(k, p, q, -1))
    return (out + features[:0].sum()).permute(0, 3, 1, 2)  # plus 0: a gradient even without samples


def max_pool(x: Tensor, rois: Tensor, bins: Bins) -> tuple[Tensor, Tensor, Tensor]:
    """Pool with max and locate each maximum.

    Args:
        x: (B, C, H, W).
        rois: (K, 5), as in ``roi_align``.
        bins: How a box is divided.

    Returns:
        Maxima and their y and x in cells, each (K, C, P, Q) in the dtype of ``x``. In a bin without samples the
        maximum is 0 and its location -1.
    """
    features, rois = _validated(x, rois, bins)
    table = _row_table(features)
    pooled, best_y, best_x = (_blank(features, rois, bins, fill) for fill in (0.0, -1.0, -1.0))
    for grid in _sampling_grids(features, rois, bins):
        rows, weights = _bilinear_rows(grid, features)
        samples = F.embedding_bag(rows.reshape(-1, 4), table, per_sample_weights=weights.reshape(-1, 4), mode='sum')
        best = samples.view(*rows.shape[:3], -1, table.shape[1]).max(3)  # over G * E samples: (k, P, Q, C)
        pooled = pooled.index_copy(0, grid.boxes, best.values)
        for locations, coordinate in ((best_y, grid.y), (best_x, grid.x)):
            per_sample = coordinate.expand(rows.shape[:-1]).flatten(3)
            locations[grid.boxes] = per_sample.gather(3, best.indices)
    pooled = pooled + features[:0].sum()
    pooled, best_y, best_x = (t.permute(0, 3, 1, 2).to(x.dtype) for t in (pooled, best_y, best_x))
    return pooled, best_y, best_x


def max_pool_gradient(grad: Tensor, rois: Tensor, y: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
    """Compute the gradient of ``max_pool`` with respect to the features from the locations of the maxima.

    Args:
        grad: (K, C, P, Q), gradient with respect to the maxima.
        rois: (K, 5).
        y: (K, C, P, Q), location of each maximum in cells.
        x: (K, C, P, Q), the same along the width.
        shape: (B, C, H, W) of the features.

    Returns:
        (B, C, H, W) in full precision.
    """
    _, c, h, w = shape
    cells, weights = _bilinear_cells(full_precision(y), full_precision(x), h, w)
    parts = (full_precision(grad)[..., None] * weights).masked_fill((y == -1)[..., None], 0)
    image = rois[:, :1].long().clamp(0, max(0, shape[0] - 1))  # of a box without an image nothing has a gradient
    plane = image * c + torch.arange(c, device=rois.device)  # (K, C)
    cells = cells + plane[:, :, None, None, None] * (h * w)
    return parts.new_zeros(shape.numel()).index_add(0, cells.flatten(), parts.flatten()).view(shape)


def _sampling_grids(features: Tensor, rois: Tensor, bins: Bins) -> Iterator[SamplingGrid]:
    """Group the boxes by their number of samples per bin, because a weighted sum needs bins of equal size."""
    if not features.numel():
        return
    size, scale, ratio, aligned = bins
    corners = rois[:, [2, 1, 4, 3]] * scale - (0.5 if aligned else 0.0)  # y1, x1, y2, x2
    start = corners[:, :2]
    step = (corners[:, 2:] - start).clamp(min=0.0 if aligned else 1.0) / start.new_tensor(size)
    counts = torch.full_like(step, ratio) if ratio > 0 else step.ceil()
    for count in counts.unique(dim=0).long().tolist():
        if min(count) > 0:
            boxes = (counts == counts.new_tensor(count)).all(1).nonzero()[:, 0]
            y, x = (_locations(start[boxes, i], step[boxes, i], size[i], count[i]) for i in (0, 1))
            image = rois[boxes, 0].long().view(-1, 1, 1, 1, 1, 1)
            yield SamplingGrid(boxes, image, y[:, :, None, :, None], x[:, None, :, None, :])


def _locations(start: Tensor, step: Tensor, bins: int, count: int) -> Tensor:
    """Compute the sampling locations (k, bins, count) along one axis, in cells."""
    bin_start = start[:, None] + torch.arange(bins, device=start.device) * step[:, None]
    within = (torch.arange(count, device=start.device) + 0.5) * step[:, None] / count
    return bin_start[:, :, None] + within[:, None, :]


def _bilinear_rows(grid: SamplingGrid, features: Tensor) -> tuple[Tensor, Tensor]:
    """Find the four table rows around each sample and their bilinear weights, both (k, P, Q, G, E, 4)."""
    h, w = features.shape[2:]
    cells, weights = _bilinear_cells(grid.y, grid.x, h, w)
    return cells + grid.image * (h * w), weights


def _bilinear_cells(y: Tensor, x: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Find the four cells around each sample, ``y * w + x`` (S, 4), and their bilinear weights (S, 4).

    A sample up to one cell outside moves onto the border, as in every RoIAlign since Detectron. Beyond that its
    weights are 0.
    """
    inside = (y >= -1) & (y <= h) & (x >= -1) & (x <= w)
    y, x = y.clamp(0, h - 1), x.clamp(0, w - 1)
    down, right = y.frac(), x.frac()
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], -1)
    top, left = y.long(), x.long()
    bottom, far = (top + 1).clamp(max=h - 1), (left + 1).clamp(max=w - 1)
    cells = torch.stack([top * w + left, top * w + far, bottom * w + left, bottom * w + far], -1)
    return cells, weights * inside[..., None]


def _row_table(features: Tensor) -> Tensor:
    """Arrange the features as one row of C values per cell, (B*H*W, C)."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _blank(features: Tensor, rois: Tensor, bins: Bins, fill: float) -> Tensor:
    return features.new_full((len(rois), *bins.output_size, features.shape[1]), fill)


def _validated(x: Tensor, rois: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """Check the arguments; return both in full precision, the boxes without gradient and inside their bounds."""
    if x.ndim != 4:
        raise ValueError(f'x must have shape (B, C, H, W), got {tuple(x.shape)}')
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ValueError(f'rois must have shape (K, 5): image, x1, y1, x2, y2; got {tuple(rois.shape)}')
    features = full_precision(x)
    return features, _bounded(rois.detach().to(features.dtype), features.shape, bins.spatial_scale)


def _bounded(rois: Tensor, shape: torch.Size, scale: float) -> Tensor:
    """Clamp boxes to a map's size around the map; a box with NaN or without an image becomes a point outside.

    A reversed box becomes one of size 0. The clamp bounds the adaptive number of samples. torchvision's kernel reads
    foreign memory where a location is NaN or infinite and for an image that is not in the batch; of a reversed box it
    takes samples backwards, or fails.
    """
    num_images, _, h, w = shape
    image = rois[:, 0]
    in_batch = (image > -1) & (image < num_images)
    if rois.is_cpu and not in_batch.all():  # elsewhere the question would be a host-device sync
        raise ValueError(f'rois: image index must be in [0, {num_images}), got {image[~in_batch][0].item():g}')
    valid = in_batch & ~rois.isnan().any(1)
    x1, y1, x2, y2 = (
        rois[:, column].clamp(-(size + 2) / scale, (2 * size + 2) / scale).where(valid, -(size + 2) / scale)
        for column, size in zip((1, 2, 3, 4), (w, h, w, h), strict=True)
    )
    return torch.stack([image.where(in_batch, 0.0), x1, y1, torch.maximum(x1, x2), torch.maximum(y1, y2)], 1)
