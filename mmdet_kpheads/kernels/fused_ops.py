"""Two operators that Triton runs as one launch each: the heat-map loss without a drawn target, and soft-NMS.

As operators of torch they are known to autograd, ``torch.compile`` and fake tensors. They run on CUDA, and in Triton's
interpreter on a CPU (``TRITON_INTERPRET=1``), where tests compare them with the formulas. Their code is in
``triton_kernels``.

Shape legend: B images, C classes, H x W cells, N boxes, R boxes that are taken. A plane is one class of one image.
"""

import logging
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..functional.gaussian import Gaussians
from ..ops.soft_nms import check_options

INSTALLED = find_spec('triton') is not None
MIN_CAPABILITY = (7, 0)  # of the GPUs that Triton compiles for
MAX_BOXES = 4096  # of an image: more would not fit into the registers of one program of soft-NMS

# Written out: old versions of torch do not read them from these annotations.
HEATMAP_LOSS = '(Tensor logits, Tensor? weight, Tensor box_of_plane, Tensor boxes, float[] powers) -> Tensor'
HEATMAP_SLOPE = HEATMAP_LOSS.replace('(', '(Tensor of_sum, ')
SOFT_NMS = (
    '(Tensor boxes, Tensor scores, Tensor labels, int rounds, float iou_threshold, float sigma, float min_score, '
    'str method, int offset, bool class_agnostic) -> (Tensor, Tensor)'
)


def available(tensor: Tensor) -> bool:
    """Whether Triton is installed and compiles for the device of a tensor."""
    if not INSTALLED or tensor.device.type != 'cuda':
        return False
    # torch.compile on CUDA needs such a GPU and a C compiler itself, and does not trace the question
    return torch.compiler.is_compiling() or _launches(tensor.device)


@cache
def _launches(device: torch.device) -> bool:
    """Whether a kernel runs on a device, from one that is tried; a line in the log says why not."""
    if os.environ.get('TORCH_COMPILE_DISABLE') == '1' or torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return False
    one = torch.zeros(1, 1, device=device)
    try:
        soft_nms(one[..., None].expand(1, 1, 4), one, one.long(), 1, 0.3, 0.5, 1e-3, 'linear', 0, False)
    except Exception as error:  # no C compiler, or a Triton that does not fit
        reason = ' '.join(str(error).split())[:200]
        print_log(f'Triton does not run, so plain formulas do, more slowly: {reason}', 'current', logging.WARNING)
        return False
    return True


def boxes_by_plane(gaussians: Gaussians) -> tuple[Tensor, Tensor]:
    """The boxes of each plane, one plane after the other.

    Returns:
        (B * C + 1,) int32: the first box of each plane, and the number of valid boxes; (B * N, 3) int32: x, y and
        radius of the boxes in cells.
    """
    images, classes = gaussians.shape[:2]
    image = torch.arange(images, device=gaussians.labels.device)[:, None]
    plane = torch.where(gaussians.valid, image * classes + gaussians.labels, images * classes).flatten()
    plane, order = plane.sort(stable=True)
    first = torch.searchsorted(plane, torch.arange(images * classes + 1, device=plane.device), out_int32=True)
    boxes = torch.cat((gaussians.cells, gaussians.radius[..., None]), -1).flatten(0, 1)
    return first, boxes[order].int()


@torch.library.custom_op('mmdet_kpheads::heatmap_loss', mutates_args=(), schema=HEATMAP_LOSS)
def heatmap_loss(
    logits: Tensor, weight: Tensor | None, box_of_plane: Tensor, boxes: Tensor, powers: list[float]
) -> Tensor:
    """Sum of the heat-map loss, float32.

    Args:
        logits: (B, C, H, W).
        weight: (B, 1, H, W) or None.
        box_of_plane: See :func:`boxes_by_plane`.
        boxes: Likewise.
        powers: alpha, gamma, pos_weight, neg_weight.
    """
    from .triton_kernels import launch_loss, programs

    if not logits.numel():
        return logits.new_zeros((), dtype=torch.float32)
    partial = torch.empty(programs(logits), dtype=torch.float32, device=logits.device)
    launch_loss(partial, *_contiguous(logits, weight, box_of_plane, boxes), powers)
    return partial.sum()


@heatmap_loss.register_fake
def _(logits: Tensor, weight: Any, box_of_plane: Any, boxes: Any, powers: Any) -> Tensor:
    return logits.new_empty((), dtype=torch.float32)


@torch.library.custom_op('mmdet_kpheads::heatmap_slope', mutates_args=(), schema=HEATMAP_SLOPE)
def heatmap_slope(
    of_sum: Tensor, logits: Tensor, weight: Tensor | None, box_of_plane: Tensor, boxes: Tensor, powers: list[float]
) -> Tensor:
    """Gradient of the logits (B, C, H, W), from that of the sum."""
    from .triton_kernels import launch_slope

    slope = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if logits.numel():
        launch_slope(slope, of_sum, *_contiguous(logits, weight, box_of_plane, boxes), powers)
    return slope


@heatmap_slope.register_fake
def _(of_sum: Any, logits: Tensor, weight: Any, box_of_plane: Any, boxes: Any, powers: Any) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


def _contiguous(*tensors: Tensor | None) -> Iterator[Tensor | None]:
    """The kernels count cells and boxes from the start of a tensor."""
    return (None if tensor is None else tensor.contiguous() for tensor in tensors)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.powers = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, of_sum: Tensor) -> tuple:
    return heatmap_slope(of_sum, *ctx.saved_tensors, ctx.powers), None, None, None, None


heatmap_loss.register_autograd(_backward, setup_context=_keep)


def gaussian_focal_sum(
    logits: Tensor,
    target: Gaussians,
    weight: Tensor | None = None,
    alpha: float = 2.0,
    gamma: float = 4.0,
    pos_weight: float = 1.0,
    neg_weight: float = 1.0,
    factor: Tensor | float = 1.0,
) -> Tensor:
    """As the formula of that name, for Gaussians alone: the target is computed where it is used.

    A weight must be (B, 1, H, W), and the logits of single or half precision.
    """
    powers = [float(value) for value in (alpha, gamma, pos_weight, neg_weight)]
    total: Tensor = heatmap_loss(logits, weight, *boxes_by_plane(target), powers)
    return total * factor


def takes(logits: Tensor, weight: Tensor | None) -> bool:
    """Whether :func:`gaussian_focal_sum` is made for these arguments."""
    images, _, height, width = logits.shape
    return logits.dtype != torch.float64 and (weight is None or weight.shape == (images, 1, height, width))


@torch.library.custom_op('mmdet_kpheads::soft_nms', mutates_args=(), schema=SOFT_NMS)
def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    rounds: int,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: str,
    offset: int,
    class_agnostic: bool,
) -> tuple[Tensor, Tensor]:
    """Scores and indices (B, R) of the boxes taken, R = ``rounds`` <= N; float32 boxes and scores."""
    from .triton_kernels import launch_soft_nms

    found = scores.new_empty(len(scores), rounds), labels.new_empty(len(scores), rounds)
    options = {
        'iou_threshold': iou_threshold,
        'sigma': sigma,
        'min_score': min_score,
        'METHOD': method,
        'OFFSET': offset,
        'AGNOSTIC': class_agnostic,
    }
    if found[0].numel():
        launch_soft_nms(*found, boxes.contiguous(), scores.contiguous(), labels.contiguous(), options)
    return found


@soft_nms.register_fake
def _(boxes: Any, scores: Tensor, labels: Tensor, rounds: int, *_: Any) -> tuple[Tensor, Tensor]:
    return scores.new_empty(len(scores), rounds), labels.new_empty(len(scores), rounds)


def soft_nms_batch(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    rounds: int,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = 'linear',
    offset: int = 0,
    class_agnostic: bool = False,
) -> tuple[Tensor, Tensor]:
    """As the formula of that name, for up to ``MAX_BOXES`` boxes of an image."""
    check_options(method, offset)
    rounds = min(rounds, scores.shape[1])
    boxes, scores = boxes.detach().float(), scores.detach().float()
    found: tuple[Tensor, Tensor] = soft_nms(
        boxes, scores, labels, rounds, iou_threshold, sigma, min_score, method, offset, class_agnostic
    )
    return found
