"""Versions for a CPU: maps in blocks that stay in the cache, gradients computed with the values, early stopping.

On a CPU the host may look at values without waiting, and memory that is new at each step costs more than arithmetic.
So these versions write into scratch blocks and skip work that the values make unnecessary.

Shape legend: B images, C classes, H x W cells, T grid points, N boxes, K peaks, P pairs, U cells.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import ops
from ..compat.torch_rules import CLAMP_STOPS_AT_ITS_BOUND
from ..functional.autoassign import MIN_UNION_PX2
from ..functional.distances import widened
from ..functional.gaussian import Gaussians, draw, windows
from ..functional.gaussian_focal import gaussian_focal_loss
from ..functional.giou import giou_loss as reference_giou_loss
from ..functional.joint_focal import SparseWeight, joint_focal_loss
from ..functional.joint_focal import joint_focal_sum as reference_joint_focal_sum
from ..functional.peaks import Peaks, check_kernel, inner_peaks, masked
from ..functional.peaks import top_peaks as top_peaks_of_map
from ..functional.topk import best_of
from ..ops.corner_pool import DIRECTIONS
from ..ops.corner_pool import corner_pool as reference_corner_pool

BLOCK_CELLS = 1 << 19  # 2 MiB of float32, the fastest of 2^14 .. 2^20 on two cores
LOG1P_LIMIT = 4.0  # above it softplus(z) = -log1p(-sigmoid(z)) loses more than 1e-6: sigmoid(z) is too close to 1
NEAR_ONE = 0.9  # above it the difference 1 - q loses more than 1e-6
ROWS_PER_PEAK = 8  # rows searched per wanted peak: a peak raises the rows beside it too


def blocks(shape: torch.Size) -> Iterator[tuple[slice, slice]]:
    """Indices (images, channels) that cover a (B, C, ...) map, a few channels of one image each."""
    images, channels, *spatial = shape
    if not math.prod(spatial):
        return
    step = max(1, BLOCK_CELLS // math.prod(spatial))
    for image in range(images):
        for first in range(0, channels, step):
            yield slice(image, image + 1), slice(first, min(first + step, channels))


class Scratch:
    """Blocks that are written again and again; new ones only where the shape changes."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._blocks: list[Tensor] = []

    def like(self, block: Tensor) -> list[Tensor]:
        """Blocks of the shape and type of ``block``; their content is undefined."""
        if not self._blocks or self._blocks[0].shape != block.shape:
            self._blocks = [torch.empty_like(block, memory_format=torch.contiguous_format) for _ in range(self._number)]
        return self._blocks


def _wants_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def refuse_second_derivative() -> None:
    """Raise in the backward of a function whose gradient is no part of a graph, rather than drop a term.

    Raises:
        RuntimeError: If ``create_graph`` was asked for.
    """
    if torch.is_grad_enabled():  # in backward: create_graph
        raise RuntimeError(
            'this loss has a gradient made by hand and no second derivative: it cannot be part of a backward with '
            'create_graph=True'
        )


# ---- heat-map loss ---------------------------------------------------------------------------------------------------


def gaussian_focal_sum(
    logits: Tensor,
    target: Tensor | Gaussians,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
    factor: Tensor | float = 1.0,
) -> Tensor:
    """First every cell counts as background, then the few cells under a Gaussian are corrected."""
    total: Tensor = _FocalSum.apply(logits, target, weight, alpha, gamma, pos_weight, neg_weight, float(factor))
    return total


class _FocalSum(torch.autograd.Function):
    """The gradient stays in float32 until it is scaled, so that a loss scaler for half precision has its effect."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        target: Tensor | Gaussians,
        weight: Tensor | None,
        alpha: float,
        gamma: float,
        pos_weight: float,
        neg_weight: float,
        factor: float,
    ) -> Tensor:
        wants_gradient = ctx.needs_input_grad[0] and not torch.is_inference_mode_enabled()
        dtype = widened(logits[:0]).dtype
        gradient = torch.empty(logits.shape, dtype=dtype)
        index, value = _nonzero(target, gradient)
        scratch = Scratch(2)
        total = torch.zeros((), dtype=dtype)
        for block in blocks(logits.shape):
            block_weight = None if weight is None else weight.expand(logits.shape)[block]
            z, slope = widened(logits[block]), gradient[block]
            total += _background(z, alpha, neg_weight * factor, block_weight, slope, scratch.like(z))

        cell_weight = None if weight is None else weight.expand(logits.shape).take(index)
        z = logits.take(index).to(dtype).requires_grad_(wants_gradient)
        options = alpha, gamma, pos_weight, neg_weight
        background = gaussian_focal_loss(z.detach(), torch.zeros_like(value), cell_weight, *options).sum() * factor
        with torch.enable_grad():
            corrected = gaussian_focal_loss(z, value, cell_weight, *options).sum() * factor
        if wants_gradient:
            (slope,) = torch.autograd.grad(corrected, z)
            gradient.view(-1).scatter_(0, index, slope)
            ctx.save_for_backward(gradient)
        return total + corrected.detach() - background

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        (gradient,) = ctx.saved_tensors
        return _scaled(gradient, grads[0]), *[None] * 7


def _background(
    z: Tensor, alpha: float, factor: float, weight: Tensor | None, gradient: Tensor, scratch: list[Tensor]
) -> Tensor:
    """Sum over a block without keypoints; its gradient goes to ``gradient``.

    With s = sigmoid(z), a = s^alpha and r = a softplus(z): f = r, f' = alpha r + s (a - alpha r).
    """
    s = torch.sigmoid(z, out=gradient)
    minus_r = torch.neg(s, out=scratch[0]).log1p_()  # -softplus(z)
    if z.max() > LOG1P_LIMIT:
        large = (z > LOG1P_LIMIT).nonzero(as_tuple=True)
        minus_r[large] = -F.softplus(z[large])
    a = torch.mul(s, s, out=scratch[1]) if alpha == 2 else torch.pow(s, alpha, out=scratch[1])
    a *= factor
    if weight is not None:
        a *= weight
    minus_r *= a
    gradient.mul_(a.add_(minus_r, alpha=alpha)).sub_(minus_r, alpha=alpha)
    return -minus_r.sum()


def _nonzero(target: Tensor | Gaussians, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (U,) of the cells where a target is not 0, each once, and their values (U,)."""
    if isinstance(target, Gaussians):
        return nonzero_gaussians(target, scratch)
    flat = target.reshape(-1)
    index = flat.nonzero()[:, 0]
    return index, flat[index]


def nonzero_gaussians(gaussians: Gaussians, scratch: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices (U,) of the cells under a Gaussian, each once, and their values (U,).

    Args:
        gaussians: The heat maps.
        scratch: Map of their size in float32 or float64, whose content is lost. Only the cells under a Gaussian are
            touched.
    """
    parts = []
    for index, value in windows(_tight(gaussians)):
        drawn = value.nonzero()[:, 0]
        parts.append((index.index_select(0, drawn), value.index_select(0, drawn)))
    index, value = (torch.cat(part) for part in zip(*parts, strict=True))
    heatmap, value = scratch.view(-1), value.to(scratch.dtype)
    value = heatmap.index_fill_(0, index, 0).scatter_reduce_(0, index, value, 'amax').index_select(0, index)
    last = heatmap.view(torch.int32)  # the same memory
    number = torch.arange(len(index), dtype=torch.int32)
    last.scatter_(0, index, number)  # of the windows that share a cell one is the last
    once = (last.index_select(0, index) == number).nonzero()[:, 0]
    return index.index_select(0, once), value.index_select(0, once)


def draw_gaussians(gaussians: Gaussians, *options: Any) -> Tensor:
    """Windows of the size of the largest radius that occurs."""
    return draw(_tight(gaussians), *options)


def _tight(gaussians: Gaussians) -> Gaussians:
    largest = int(gaussians.radius.masked_fill(~gaussians.valid, 0).max()) if gaussians.radius.numel() else 0
    return gaussians._replace(max_radius=min(gaussians.max_radius, largest))


# ---- AutoAssign ------------------------------------------------------------------------------------------------------


def joint_focal_sum(class_logits: Tensor, objectness_logits: Tensor, weight: SparseWeight) -> tuple[Tensor, Tensor]:
    """Block by block; the gradient of the gathered logits goes into the map of the sum's gradient."""
    if not _wants_gradient(class_logits, objectness_logits):
        return reference_joint_focal_sum(class_logits, objectness_logits, weight)
    total, values = _JointFocalSum.apply(class_logits, objectness_logits, *weight)
    return total, values


class _JointFocalSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        class_logits: Tensor,
        objectness_logits: Tensor,
        cells: Tensor,
        values: Tensor,
        ignored: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        class_slope = SparseWeight(cells, values, ignored).dense(class_logits)  # each block replaces its weight
        objectness_slope = torch.zeros(objectness_logits.shape)
        total = torch.zeros(())
        scratch = Scratch(3)
        for block in blocks(class_logits.shape):
            images, _ = block
            x, y, weight = class_logits[block].float(), objectness_logits[images].float(), class_slope[block]
            loss, by_objectness = _joint_block(x, y, weight, scratch.like(x))
            total += loss
            objectness_slope[images] += by_objectness
        ctx.save_for_backward(class_slope, objectness_slope, cells)
        return total, class_logits.flatten().index_select(0, cells).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        class_slope, objectness_slope, cells = ctx.saved_tensors
        by_class = by_objectness = None
        if ctx.needs_input_grad[0]:
            by_class = class_slope * grads[0]
            by_class.view(-1).scatter_add_(0, cells, grads[1])
        if ctx.needs_input_grad[1]:
            by_objectness = _scaled(objectness_slope, grads[0])
        return by_class, by_objectness, None, None, None


def _joint_block(x: Tensor, y: Tensor, weight: Tensor, scratch: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Sum of the loss over a block, and its slope by objectness logit; that by class logit replaces ``weight``.

    With q = w P and l = log(1 - q) the loss is -q^2 l. Its slope by log q is q^2 (q / (1 - q) - 2 l), and
    (log q)' = sigmoid(-logit). Cells with q near 1 are computed by the formula itself; where q is tiny, the rounding of
    1 - q is far below a loss of q^3.
    """
    p_class = torch.sigmoid(x, out=scratch[0])
    q = torch.mul(p_class, y.sigmoid(), out=scratch[1]).mul_(weight)
    near = None
    if q.max() > NEAR_ONE:
        near = (q > NEAR_ONE).nonzero(as_tuple=True)
        near_loss, near_by_class, near_by_objectness = _joint_cells(x[near], y.expand_as(q)[near], weight[near])
        q[near] = 0
    miss = torch.sub(q.new_ones(()), q, out=scratch[2])
    log_miss = torch.log(miss, out=weight)
    ratio = torch.div(q, miss, out=miss)
    square = q.mul_(q)
    loss = -torch.dot(square.flatten(), log_miss.flatten())
    by_log_q = ratio.sub_(log_miss, alpha=2).mul_(square)
    by_class = torch.addcmul(by_log_q, by_log_q, p_class, value=-1, out=weight)  # sigmoid(-x) = 1 - sigmoid(x)
    if near is None:
        return loss, by_log_q.sum(1, True) * (-y).sigmoid()
    by_class[near] = near_by_class
    by_objectness = by_log_q.mul_((-y).sigmoid())
    by_objectness[near] = near_by_objectness
    return loss + near_loss, by_objectness.sum(1, True)


@torch.enable_grad()
def _joint_cells(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sum of the formula over some cells (U,), and its slopes."""
    x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
    loss = joint_focal_loss(x, y, weight).sum()
    by_x, by_y = torch.autograd.grad(loss, (x, y))
    return loss.detach(), by_x, by_y


@torch.no_grad()
def best_iou(predicted: Tensor, boxes: Tensor, at_once: int = BLOCK_CELLS) -> Tensor:
    """In blocks of scratch memory, coordinates first: three times faster at 200 boxes.

    I / (area + area) grows with the IoU, so the division by the union is left to the maximum.
    """
    images, points = predicted.shape[:2]
    step = max(1, at_once // (images * boxes.shape[1]))
    x1, y1, x2, y2 = boxes[..., None].unbind(2)  # (B, N, 1) each
    area = ((x2 - x1) * (y2 - y1)).clamp(min=MIN_UNION_PX2)  # so that no union is 0
    width, height, other = predicted.new_empty(3, images, boxes.shape[1], min(step, points))
    parts = []
    for part in predicted.transpose(1, 2).contiguous().split(step, 2):
        left, top, right, bottom = part[:, :, None].unbind(1)  # (B, 1, T') each
        w, h, o = (scratch[..., : part.shape[2]] for scratch in (width, height, other))  # (B, N, T') each
        torch.minimum(right, x2, out=w).sub_(torch.maximum(left, x1, out=o)).clamp_(min=0)
        torch.minimum(bottom, y2, out=h).sub_(torch.maximum(top, y1, out=o))
        shared = w.mul_(h)  # below 0 where the boxes are apart
        both = torch.add((right - left) * (bottom - top), area, out=o)
        parts.append(shared.div_(both).amax(1))
    share = torch.cat(parts, 1).clamp_(min=0)
    return share / (1 - share)


def giou_loss(predicted: Tensor, boxes: Tensor, eps: float = 1e-6) -> Tensor:
    """The gradient is computed with the value: a quarter of the time of autograd."""
    if boxes.requires_grad or not _wants_gradient(predicted):
        return reference_giou_loss(predicted, boxes, eps)
    loss: Tensor = _GIoULoss.apply(*torch.broadcast_tensors(predicted, boxes), eps)
    return loss


class _GIoULoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, predicted: Tensor, boxes: Tensor, eps: float) -> Tensor:
        columns, others = (value.movedim(-1, 0) for value in (predicted, boxes))  # (4, ...)
        loss, slope = _giou_and_slope(columns, others, eps)
        ctx.save_for_backward(slope)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        refuse_second_derivative()
        (slope,) = ctx.saved_tensors
        return (slope * grads[0]).movedim(0, -1), None, None


def _giou_and_slope(predicted: Tensor, boxes: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Loss (...) and its slope by each predicted coordinate (4, ...).

    With intersection I, union U and hull E: loss = 2 - I / U - U / E, and U is the sum of both areas less I. A side
    that moves changes an area by the length of the other axis. At ties min and max share the slope, as torch's do.
    """
    low, high = predicted.unflatten(0, (2, 2))  # (2, ...) each: x and y
    other_low, other_high = boxes.unflatten(0, (2, 2))
    side = high - low
    overlap = torch.minimum(high, other_high) - torch.maximum(low, other_low)
    meets = overlap > 0 if CLAMP_STOPS_AT_ITS_BOUND else overlap >= 0
    overlap.clamp_(min=0)
    hull = torch.maximum(high, other_high) - torch.minimum(low, other_low)
    intersection = overlap[0] * overlap[1]
    union = (side[0] * side[1] + (other_high - other_low).prod(0) - intersection).clamp_(min=eps)
    around = (hull[0] * hull[1]).clamp_(min=eps)
    loss = 2 - intersection / union - union / around

    by_area = (intersection / union / union - 1 / around) * (union > eps)
    by_intersection = -1 / union - by_area
    by_around = union / around / around * (around > eps)
    own = by_area * side.flip(0)
    inner = by_intersection * overlap.flip(0) * meets  # where the side bounds the intersection
    outer = by_around * hull.flip(0)  # where it bounds the hull
    own += (inner + outer) / 2
    turn = (inner - outer) / 2
    slope_low = -torch.addcmul(own, turn, (low - other_low).sign())
    return loss, torch.cat((slope_low, torch.addcmul(own, turn, (other_high - high).sign())))


def _scaled(gradient: Tensor, scale: Tensor) -> Tensor:
    """``gradient`` times ``scale``; autograd rounds it to the type of the input, once."""
    return gradient if scale == 1 else gradient * scale


# ---- decoding --------------------------------------------------------------------------------------------------------


def top_peaks(heatmap: Tensor, k: int, kernel: int, valid_cells: Tensor | None = None) -> Peaks:
    """Searches only the rows with the highest maxima; the whole map of an image where another row may hold a peak."""
    check_kernel(kernel)
    if ROWS_PER_PEAK * k >= heatmap.shape[1] * heatmap.shape[2] or not len(heatmap):
        return top_peaks_of_map(heatmap, k, kernel, valid_cells)
    peaks, is_clear = _peaks_of_best_rows(heatmap, k, kernel, valid_cells)
    for image in (~is_clear).nonzero()[:, 0].tolist():
        own = slice(image, image + 1)
        found = top_peaks_of_map(heatmap[own], k, kernel, None if valid_cells is None else valid_cells[own])
        for values, of_image in zip(peaks, found, strict=True):
            values[own] = of_image
    return peaks


def _peaks_of_best_rows(heatmap: Tensor, k: int, kernel: int, valid_cells: Tensor | None) -> tuple[Peaks, Tensor]:
    """The best peaks of the best rows, and whether every other row is below them, (B,) bool."""
    batch, classes, height, width = heatmap.shape
    row_max = torch.empty(batch, classes, height)
    for block in blocks(heatmap.shape):
        part = masked(heatmap[block].float(), None if valid_cells is None else valid_cells[block[0]])
        row_max[block] = part.amax(-1)
    highest, rows = row_max.flatten(1).topk(ROWS_PER_PEAK * k + 1)  # (B, R + 1)
    rows = rows[:, :-1]
    near = torch.arange(kernel) - kernel // 2
    y = rows[..., None] % height + near  # (B, R, kernel)
    inside = (y >= 0) & (y < height)
    image = torch.arange(batch)[:, None, None]
    window = heatmap.flatten(1, 2)[image, torch.where(inside, rows[..., None] + near, 0)].float()  # (B, R, kernel, W)
    window.masked_fill_(~inside[..., None], -torch.inf)
    if valid_cells is not None:
        window.masked_fill_(~valid_cells[:, 0][image, y.clamp(0, height - 1)], -torch.inf)
    peak = inner_peaks(F.pad(window, (kernel // 2, kernel // 2), value=-torch.inf), kernel)  # (B, R, 1, W)
    scores = window[:, :, kernel // 2].masked_fill(~peak[:, :, 0], -torch.inf)  # (B, R, W)
    index = rows[..., None] * width + torch.arange(width)  # (B, R, W) in (C, H, W)
    logits, index = best_of(scores.flatten(1), index.flatten(1), k)
    return Peaks(logits, index // (height * width), index % (height * width)), logits[:, -1] > highest[:, -1]


def soft_nms_batch(boxes: Tensor, scores: Tensor, labels: Tensor, rounds: int, **options: Any) -> tuple[Tensor, Tensor]:
    """Only over the columns up to the last box of any image."""
    columns = (scores > -torch.inf).any(0).nonzero()
    present = int(columns[-1]) + 1 if len(columns) else 0
    return ops.soft_nms_batch(boxes[:, :present], scores[:, :present], labels[:, :present], rounds, **options)


# ---- corner pooling --------------------------------------------------------------------------------------------------


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """Along the height whole rows are compared: 1.7 to 2 times faster than cummax, and one byte kept per cell.

    Along the width the same method was up to twice as slow (benchmarks/parts.py).
    """
    axis, from_end = DIRECTIONS.get(direction, (None, None))
    if axis != 2:
        return reference_corner_pool(x, direction)
    pooled: Tensor = _RowMaximum.apply(x, from_end)
    return pooled


class _RowMaximum(torch.autograd.Function):
    """Running maximum along the height that compares one row of all maps at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, from_end: bool) -> Tensor:
        pooled = x.clone()
        for before, row in pairwise(_rows_in_order(pooled, from_end)):
            torch.maximum(before, row, out=row)
        ctx.from_end = from_end
        ctx.save_for_backward(x == pooled)  # cells that are their own maximum
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (is_own_maximum,) = grads, ctx.saved_tensors
        result = torch.empty_like(grad)
        zero = grad.new_zeros(())
        pending = torch.zeros_like(grad[:, :, 0])  # (B, C, W): gradient of passed cells whose maximum lies ahead
        rows = [_rows_in_order(tensor, not ctx.from_end) for tensor in (grad, is_own_maximum, result)]
        for row, own, out in zip(*rows, strict=True):
            pending += row
            torch.where(own, pending, zero, out=out)
            pending.masked_fill_(own, 0)
        return result, None


def _rows_in_order(x: Tensor, from_end: bool) -> tuple[Tensor, ...]:
    rows = x.unbind(2)
    return rows[::-1] if from_end else rows


VERSIONS: dict[str, Callable[..., Any]] = {
    'best_iou': best_iou,
    'corner_pool': corner_pool,
    'draw': draw_gaussians,
    'gaussian_focal_sum': gaussian_focal_sum,
    'giou_loss': giou_loss,
    'joint_focal_sum': joint_focal_sum,
    'plain_nms': ops.class_nms,  # stops after ``limit`` boxes
    'soft_nms_batch': soft_nms_batch,
    'top_peaks': top_peaks,
}
