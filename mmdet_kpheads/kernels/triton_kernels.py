"""The code of the kernels behind ``fused_ops``, in Triton.

Shape legend: B images, C classes, H x W cells, N boxes, R boxes that are taken. A plane is one class of one image.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..functional.gaussian import SIGMAS_PER_DIAMETER

CELLS = 1024  # of one plane in one program: eight for each of 128 threads
SMALL = tl.constexpr(0.03)  # below it four terms give log(1 + e) to 2e-7, where 1 + e has lost digits of e
BOXES_PER_WARP = 256  # eight for each thread: more spill registers
MAX_WARPS = 16


@triton.jit
def _power(base, EXPONENT: tl.constexpr):
    """``base ** EXPONENT`` of numbers that are not negative; the published 2 and 4 as products."""
    if EXPONENT == 0:
        result = base * 0 + 1
    elif EXPONENT == 2:
        result = base * base
    elif EXPONENT == 4:
        result = base * base * base * base
    else:
        result = tl.exp(EXPONENT * tl.log(base))  # of 0: exp(-inf) = 0
    return result


@triton.jit
def _cells(logits, weight, box_of_plane, boxes, num_classes, height, width, neg_weight, pos_weight,
           GAMMA: tl.constexpr, SIGMAS: tl.constexpr, WEIGHTED: tl.constexpr, CELLS: tl.constexpr):  # fmt: skip
    """Of the cells of this program: where they are, which exist, the signed logit, its sign and the weight."""
    plane, tile = tl.program_id(0), tl.program_id(1)
    cell = tile * CELLS + tl.arange(0, CELLS)
    exists = cell < height * width
    x, y = cell % width, cell // width
    target = tl.zeros((CELLS,), tl.float32)
    for box in range(tl.load(box_of_plane + plane), tl.load(box_of_plane + plane + 1)):
        radius = tl.load(boxes + 3 * box + 2)
        far_x, far_y = tl.abs(x - tl.load(boxes + 3 * box)), tl.abs(y - tl.load(boxes + 3 * box + 1))
        sigma = (2 * radius + 1).to(tl.float32) / SIGMAS
        value = tl.exp(-(far_x * far_x + far_y * far_y).to(tl.float32) / (2 * sigma * sigma))
        target = tl.maximum(target, tl.where((far_x <= radius) & (far_y <= radius), value, 0.0))
    where = plane.to(tl.int64) * height * width + cell
    logit = tl.load(logits + where, mask=exists, other=0).to(tl.float32)
    keypoint = target == 1
    cell_weight = tl.where(keypoint, pos_weight, neg_weight * _power(1 - target, GAMMA))
    if WEIGHTED:
        image = (plane // num_classes).to(tl.int64)
        cell_weight *= tl.load(weight + image * height * width + cell, mask=exists, other=0)
    sign = tl.where(keypoint, -1.0, 1.0)
    return where, exists, sign * logit, sign, cell_weight


@triton.jit
def _softplus(z):
    e = tl.exp(-tl.abs(z))
    series = e * (1 - e * (0.5 - e * (0.33333334 - e * 0.25)))
    log1p = tl.where(e < SMALL, series, tl.log(1 + e))
    return tl.maximum(z, 0.0) + log1p


@triton.jit
def _loss_kernel(partial, logits, weight, box_of_plane, boxes, num_classes, height, width, pos_weight, neg_weight,
                 ALPHA: tl.constexpr, GAMMA: tl.constexpr, SIGMAS: tl.constexpr, WEIGHTED: tl.constexpr,
                 CELLS: tl.constexpr):  # fmt: skip
    """The sum of the loss over the cells of each program."""
    _, exists, z, _, cell_weight = _cells(
        logits, weight, box_of_plane, boxes, num_classes, height, width, neg_weight, pos_weight, GAMMA, SIGMAS,
        WEIGHTED, CELLS,
    )  # fmt: skip
    loss = cell_weight * _power(tl.sigmoid(z), ALPHA) * _softplus(z)
    program = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    tl.store(partial + program, tl.sum(tl.where(exists, loss, 0.0)))


@triton.jit
def _slope_kernel(gradient, of_sum, logits, weight, box_of_plane, boxes, num_classes, height, width, pos_weight,
                  neg_weight, ALPHA: tl.constexpr, GAMMA: tl.constexpr, SIGMAS: tl.constexpr, WEIGHTED: tl.constexpr,
                  CELLS: tl.constexpr):  # fmt: skip
    """The slope of the loss at each cell, times the gradient of the sum."""
    where, exists, z, sign, cell_weight = _cells(
        logits, weight, box_of_plane, boxes, num_classes, height, width, neg_weight, pos_weight, GAMMA, SIGMAS,
        WEIGHTED, CELLS,
    )  # fmt: skip
    p = tl.sigmoid(z)
    power = _power(p, ALPHA)
    slope = sign * cell_weight * (ALPHA * power * (1 - p) * _softplus(z) + power * p) * tl.load(of_sum)
    tl.store(gradient + where, slope.to(gradient.dtype.element_ty), mask=exists)


@triton.jit
def _soft_nms_kernel(kept, indices, all_boxes, scores, labels, number, rounds, iou_threshold, sigma, min_score,
                     METHOD: tl.constexpr, OFFSET: tl.constexpr, AGNOSTIC: tl.constexpr,
                     BLOCK: tl.constexpr):  # fmt: skip
    """One program for each image: its boxes and scores stay in registers through all rounds."""
    image = tl.program_id(0)
    box = tl.arange(0, BLOCK)
    exists = box < number
    boxes = all_boxes + image * number * 4
    x1 = tl.load(boxes + 4 * box, mask=exists, other=0)
    y1 = tl.load(boxes + 4 * box + 1, mask=exists, other=0)
    x2 = tl.load(boxes + 4 * box + 2, mask=exists, other=0)
    y2 = tl.load(boxes + 4 * box + 3, mask=exists, other=0)
    label = tl.load(labels + image * number + box, mask=exists, other=0)
    live = tl.load(scores + image * number + box, mask=exists, other=-float('inf'))
    live = tl.where(live == live, live, -float('inf'))  # NaN
    area = (x2 - x1 + OFFSET) * (y2 - y1 + OFFSET)
    for turn in range(rounds):
        best, taken = tl.max(live, 0, return_indices=True)  # the first of equals
        tl.store(kept + image * rounds + turn, best)
        tl.store(indices + image * rounds + turn, taken.to(tl.int64))
        left, top = tl.load(boxes + 4 * taken), tl.load(boxes + 4 * taken + 1)
        right, bottom = tl.load(boxes + 4 * taken + 2), tl.load(boxes + 4 * taken + 3)
        width = tl.maximum(tl.minimum(x2, right) - tl.maximum(x1, left) + OFFSET, 0.0)
        height = tl.maximum(tl.minimum(y2, bottom) - tl.maximum(y1, top) + OFFSET, 0.0)
        shared = width * height
        overlap = shared / ((right - left + OFFSET) * (bottom - top + OFFSET) + area - shared)
        overlap = tl.where(overlap == overlap, overlap, 0.0)  # 0 / 0
        if METHOD == 'gaussian':
            factor = tl.exp(-overlap * overlap / sigma)
        elif METHOD == 'linear':
            factor = tl.where(overlap >= iou_threshold, 1 - overlap, 1.0)
        else:
            factor = tl.where(overlap >= iou_threshold, 0.0, 1.0)
        if not AGNOSTIC:
            factor = tl.where(label == tl.load(labels + image * number + taken), factor, 1.0)
        lowered = live * tl.maximum(factor, 0.0)  # an overlap may be rounded above 1
        left_over = exists & (live > -float('inf')) & (lowered >= min_score) & (box != taken)
        live = tl.where(left_over, lowered, -float('inf'))


def launch_loss(partial: Tensor, *arguments: Any) -> None:
    """Fill ``partial`` (programs,) with sums of the loss."""
    _launch(_loss_kernel, (partial,), *arguments)


def launch_slope(slope: Tensor, of_sum: Tensor, *arguments: Any) -> None:
    """Fill ``slope`` (B, C, H, W) with the gradient of the logits, from that of the sum."""
    _launch(_slope_kernel, (slope, of_sum), *arguments)


def programs(logits: Tensor) -> tuple[int, int]:
    """One for each plane and each run of ``CELLS`` cells."""
    return logits.shape[0] * logits.shape[1], triton.cdiv(logits.shape[2] * logits.shape[3], CELLS)


def _launch(
    kernel: Any,
    outputs: tuple[Tensor, ...],
    logits: Tensor,
    weight: Tensor | None,
    box_of_plane: Tensor,
    boxes: Tensor,
    powers: list[float],
) -> None:
    alpha, gamma, pos_weight, neg_weight = powers
    with torch.cuda.device_of(logits):
        kernel[programs(logits)](
            *outputs, logits, logits if weight is None else weight, box_of_plane, boxes, *logits.shape[1:],
            pos_weight, neg_weight, ALPHA=alpha, GAMMA=gamma, SIGMAS=SIGMAS_PER_DIAMETER, WEIGHTED=weight is not None,
            CELLS=CELLS,
        )  # fmt: skip


def launch_soft_nms(
    kept: Tensor, indices: Tensor, boxes: Tensor, scores: Tensor, labels: Tensor, options: dict[str, Any]
) -> None:
    """Fill scores and indices (B, R) with the boxes taken."""
    (images, number), rounds = scores.shape, kept.shape[1]
    block = triton.next_power_of_2(number)
    with torch.cuda.device_of(scores):
        _soft_nms_kernel[(images,)](
            kept, indices, boxes, scores, labels, number, rounds, BLOCK=block, num_warps=warps(block), **options
        )


def warps(block: int) -> int:
    """Of a program of soft-NMS, by its boxes."""
    return min(MAX_WARPS, max(4, block // BOXES_PER_WARP))
