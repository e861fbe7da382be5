"""Deformable convolution, versions 1 and 2, as one weighted sum of table rows and one matrix product.

Dai et al. 2017, https://arxiv.org/abs/1703.06211; Zhu et al. 2018, https://arxiv.org/abs/1811.11168 (the mask).

Shape legend: B images, C input and O output channels, H x W input cells, P x Q output cells, K kernel taps,
D deformable groups. Offsets are (dy, dx) per tap, in input cells.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .torchvision_kernels import full_precision, torchvision_op

Pair = int | tuple[int, int]

OUTSIDE = -2.0  # in cells: far enough from the first cell, 0, that no interpolation and no gradient reaches it


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve ``x`` at shifted sampling locations; differentiable once in every tensor.

    The numbers of groups are inferred from the shapes. A sample outside the map is zero. At whole cells the
    derivative with respect to the offset is the right-hand one, as in the compiled ops. Plain torch samples
    before it multiplies, which stores B*P*Q*K*C values, or after it, which stores B*H*W*K*O; it takes the smaller.

    Args:
        x: (B, C, H, W).
        offset: (B, D*K*2, P, Q): dy and dx of each tap, in input cells.
        weight: (O, C/groups, kernel height, kernel width).
        mask: (B, D*K, P, Q), the factor of each sample (version 2); None for version 1.
        bias: (O,) or None.
        stride: One number or (vertical, horizontal), like padding and dilation.
        padding: Zero cells around the map.
        dilation: Distance between taps, in cells.

    Returns:
        (B, O, P, Q) in the dtype of ``x``.

    Raises:
        ValueError: If the shapes are inconsistent.
    """
    geometry = (_pair(stride), _pair(padding), _pair(dilation))
    _check_shapes(x, offset, weight, mask, geometry)
    dtype = x.dtype
    with torch.autocast(x.device.type, enabled=False):
        x, offset, weight = (full_precision(t) for t in (x, offset, weight))
        mask, bias = (t if t is None else full_precision(t) for t in (mask, bias))
        if len(x) and (kernel := torchvision_op('deform_conv2d', x.device.type)):  # it refuses an empty batch
            offset = _safe_offset(offset, x, weight, geometry)
            return kernel(x, offset, weight, bias, *geometry, mask).to(dtype)
        samples = _samples(x, offset, weight, mask, geometry)
        d, pixels = samples.cells.shape[4], samples.cells.shape[1] * samples.cells.shape[2]
        narrower = x.shape[2] * x.shape[3] * len(weight) <= pixels * x.shape[1]  # than the sampled columns
        convolve = _multiply_and_sample if d == 1 and narrower else _sample_and_multiply
        product = torch.bfloat16 if dtype == torch.bfloat16 else x.dtype  # its sums are in float32 either way
        out = convolve(x, samples, weight, product)  # (B, P, Q, O)
        return (out if bias is None else out + bias).permute(0, 3, 1, 2).to(dtype)


class _Samples(NamedTuple):
    """The four cells around each sampling location, (B, P, Q, K, D, 4): index ``y * W + x``, and weight."""

    cells: Tensor
    weights: Tensor


def _sample_and_multiply(x: Tensor, samples: _Samples, weight: Tensor, product: torch.dtype) -> Tensor:
    """Sample ``x`` for every output cell and tap, then multiply: (B, P, Q, O)."""
    b, c, h, w = x.shape
    _, p, q, taps, d, _ = samples.cells.shape
    groups = c // weight.shape[1]
    first_row = torch.arange(b * d, device=x.device).view(b, 1, 1, 1, d, 1) * (h * w)
    table = x.view(b, d, c // d, h, w).permute(0, 1, 3, 4, 2).reshape(b * d * h * w, c // d)
    columns = _weighted_rows(table, (samples.cells + first_row).reshape(-1, 4), samples.weights.reshape(-1, 4))
    rows = (
        columns.view(b * p * q, taps, groups, c // groups).permute(2, 0, 1, 3).flatten(2)
    )  # (groups, B*P*Q, K*C/groups)
    per_group = weight.view(groups, len(weight) // groups, c // groups, taps).permute(0, 3, 2, 1).flatten(1, 2)
    out = rows.flatten(2).to(product) @ per_group.to(product)  # (groups, B*P*Q, O/groups)
    return out.movedim(0, 1).reshape(b, p, q, len(weight))


def _multiply_and_sample(x: Tensor, samples: _Samples, weight: Tensor, product: torch.dtype) -> Tensor:
    """Multiply each cell of ``x`` by each tap, then sum the samples of all taps: (B, P, Q, O).

    The same sum in another order. No tensor holds the sampled columns, and rows of O numbers are read in place of C.
    """
    b, c, h, w = x.shape
    _, p, q, taps, _, _ = samples.cells.shape
    groups = c // weight.shape[1]
    rows = x.permute(0, 2, 3, 1).reshape(b * h * w, groups, c // groups).transpose(0, 1)  # (groups, B*H*W, C/groups)
    per_group = weight.view(groups, len(weight) // groups, c // groups, taps).permute(0, 2, 3, 1).flatten(2)
    products = rows.to(product) @ per_group.to(product)  # (groups, B*H*W, K*O/groups)
    table = products.view(groups, b * h * w * taps, len(weight) // groups).transpose(0, 1).flatten(1)  # (B*H*W*K, O)
    first_cell = torch.arange(b, device=x.device).view(b, 1, 1, 1, 1, 1) * (h * w)
    tap = torch.arange(taps, device=x.device).view(taps, 1, 1)
    found = ((samples.cells + first_cell) * taps + tap).reshape(b * p * q, taps * 4)
    return _weighted_rows(table.to(x.dtype), found, samples.weights.reshape(b * p * q, taps * 4)).view(
        b, p, q, len(weight)
    )


def _weighted_rows(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of n rows of a table (R, C): rows and weights (N, n), result (N, C)."""
    if weights.requires_grad and not table.requires_grad:
        table = table.detach().requires_grad_()  # embedding_bag of torch 2.4 fails on a gradient of the weights alone
    return F.embedding_bag(rows, table, per_sample_weights=weights, mode='sum')


def _safe_offset(offset: Tensor, x: Tensor, weight: Tensor, geometry: tuple) -> Tensor:
    """Let each sample outside the map be at ``OUTSIDE``, with no gradient.

    torchvision's kernel reads foreign memory at a location that is infinite, huge or NaN, and has a gradient at exactly
    one cell outside, where padding puts the taps of a new layer.
    """
    b, _, p, q = offset.shape
    h, w = x.shape[2:]
    kernel = list(weight.shape[2:])
    grid = torch.stack(torch.broadcast_tensors(*_regular_grid(kernel, (p, q), geometry, x.device)))  # (2, P, Q, K)
    grid = grid.permute(3, 0, 1, 2)  # (K, 2, P, Q)
    shift = offset.view(b, -1, *grid.shape)  # (B, D, K, 2, P, Q)
    rows, columns = (shift + grid).unbind(3)
    inside = _is_inside(rows, columns, h, w)  # (B, D, K, P, Q)
    return shift.where(inside[:, :, :, None], OUTSIDE - grid).view(offset.shape)


def _samples(x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, geometry: tuple) -> _Samples:
    """Find the cells that each tap of each output cell reads, and their weights, the mask included."""
    b, _, h, w = x.shape
    taps, (p, q) = weight.shape[2] * weight.shape[3], offset.shape[-2:]
    d = offset.shape[1] // (2 * taps)
    shift = offset.view(b, d, taps, 2, p, q).permute(3, 0, 4, 5, 2, 1)  # (2, B, P, Q, K, D)
    grid_y, grid_x = _regular_grid(list(weight.shape[2:]), (p, q), geometry, x.device)
    cells, weights = _bilinear_cells(shift[0] + grid_y[..., None], shift[1] + grid_x[..., None], h, w)
    if mask is not None:
        weights = weights * mask.view(b, d, taps, p, q).permute(0, 3, 4, 2, 1)[..., None]
    return _Samples(cells, weights)


def _regular_grid(
    kernel: list[int], out_size: tuple[int, int], geometry: tuple, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Compute y (P, 1, K) and x (Q, K) of every tap at zero offset, in input cells."""
    stride, padding, dilation = geometry
    y, x = (
        (torch.arange(out_size[i], device=device) * stride[i] - padding[i])[:, None]
        + torch.arange(kernel[i], device=device) * dilation[i]
        for i in (0, 1)
    )
    return y.repeat_interleave(kernel[1], 1)[:, None], x.repeat(1, kernel[0])


def _bilinear_cells(y: Tensor, x: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Find the four cells around each sampling location and their bilinear weights, which are 0 outside the map.

    Args:
        y: Any shape S, in cells; NaN and infinite locations count as outside.
        x: S.
        h: Height of the map.
        w: Width of the map.

    Returns:
        Cell index ``y * w + x``, (S, 4) int64, and bilinear weight, (S, 4), differentiable.
    """
    inside = _is_inside(y, x, h, w)
    y, x = y.where(inside, 0.0), x.where(inside, 0.0)
    top, left = y.detach().floor(), x.detach().floor()
    down, right = y - top, x - left
    sample_weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], -1)
    rows = torch.stack([top, top, top + 1, top + 1], -1).long()
    columns = torch.stack([left, left + 1, left, left + 1], -1).long()
    valid = inside[..., None] & (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    return (rows * w + columns).where(valid, 0), sample_weights * valid


def _is_inside(y: Tensor, x: Tensor, h: int, w: int) -> Tensor:
    """Whether a sampling location touches a cell of the map; NaN does not."""
    return (y > -1) & (y < h) & (x > -1) & (x < w)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _check_shapes(x: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, geometry: tuple) -> None:
    if x.ndim != 4 or weight.ndim != 4 or offset.ndim != 4:
        dims = (x.ndim, offset.ndim, weight.ndim)
        raise ValueError(f'x, offset and weight must have 4 dimensions each, got {dims}')
    taps = weight.shape[2] * weight.shape[3]
    out_size = tuple(
        (x.shape[2 + i] + 2 * pad - dil * (weight.shape[2 + i] - 1) - 1) // step + 1
        for i, (step, pad, dil) in enumerate(zip(*geometry, strict=True))
    )
    deform_groups = offset.shape[1] // (2 * taps)
    if min(out_size) < 1 or min(x.shape[2:]) < 1:
        raise ValueError(f'x of {tuple(x.shape)} is too small for the kernel: the output would be {out_size}')
    if x.shape[1] % weight.shape[1] or weight.shape[0] % (x.shape[1] // weight.shape[1]):
        raise ValueError(f'weight {tuple(weight.shape)} cannot divide {x.shape[1]} channels into groups')
    wanted = (x.shape[0], deform_groups * 2 * taps, *out_size)
    if deform_groups < 1 or x.shape[1] % deform_groups or tuple(offset.shape) != wanted:
        shape = f'({x.shape[0]}, groups*{2 * taps}, {out_size[0]}, {out_size[1]})'
        raise ValueError(f'offset must have shape {shape}, got {tuple(offset.shape)}')
    wanted = (x.shape[0], deform_groups * taps, *out_size)
    if mask is not None and tuple(mask.shape) != wanted:
        raise ValueError(f'mask must have shape {wanted}, got {tuple(mask.shape)}')
