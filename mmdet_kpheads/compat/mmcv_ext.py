"""Fallback implementation of ``mmcv._ext``, the compiled half of mmcv, for an mmcv that has none.

mmcv's Python wrappers are complete without it; they only need a module of that name. Each function here has the
signature of the compiled one: it writes results and adds gradients into the tensors that are passed. The arithmetic is
in ``mmdet_kpheads.ops``.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .. import ops
from ..errors import KpheadsWarning
from ..ops.roi_align import Bins, max_pool, max_pool_gradient
from ..ops.sigmoid_focal import sigmoid_focal_loss
from ..ops.soft_nms import METHODS

NAME = 'mmcv._ext'
CURE = (
    'This mmcv has no compiled ops, and mmdet_kpheads replaces only the common ones. To compile '
    'mmcv for the installed torch: pip install --no-build-isolation --no-cache-dir --no-deps '
    '--force-reinstall onedl-mmcv==2.3.6 (about 20 minutes; needs a C++ compiler, setuptools, wheel and, '
    'for CUDA, nvcc)'
)
COLUMN_LIMIT = 2**26  # sampled values that a deformable convolution holds at a time: 256 MiB
KEPT_LIMIT = 2**23  # below so many, what the forward pass computed is kept for the backward pass: 32 MiB per layer
PROVIDED: dict[str, Callable] = {}


class FallbackOps(ModuleType):
    """A module that has every name: mmcv looks all of them up on import and calls few."""

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('_'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(f'mmcv op {name!r} is not available. {CURE}')

        return missing


def provide() -> bool:
    """Put the fallback into ``sys.modules`` unless ``mmcv._ext`` can be imported.

    Returns:
        Whether the fallback is in use.
    """
    try:
        return isinstance(importlib.import_module(NAME), FallbackOps)
    except ModuleNotFoundError:
        pass
    except ImportError as error:  # compiled for another torch or Python
        message = f'the compiled ops of mmcv do not load and are replaced by plain torch: {error}'
        warnings.warn(message, KpheadsWarning, stacklevel=2)
    sys.modules[NAME] = sys.modules['mmcv'].__dict__['_ext'] = fallback_ops()
    return True


def in_use() -> bool:
    """Whether mmcv's ops are those of this module."""
    return isinstance(sys.modules.get(NAME), FallbackOps)


def fallback_ops() -> FallbackOps:
    """Make the fallback module."""
    module = FallbackOps(NAME, 'Fallback by mmdet_kpheads: mmcv ops in plain torch.')
    module.__spec__ = ModuleSpec(NAME, None, origin='mmdet_kpheads')  # find_spec reads it
    module.__dict__.update(PROVIDED)
    return module


def _provided(function: Callable) -> Callable:
    PROVIDED[function.__name__] = function
    return function


@_provided
def get_compiler_version() -> str:
    """Report that there is no compiler; mmcv's environment report calls this."""
    return 'none (mmdet_kpheads fallback)'


@_provided
def get_compiling_cuda_version() -> str:
    """Report that there is no CUDA compiler."""
    return 'none (mmdet_kpheads fallback)'


@_provided
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """See ``ops.nms``."""
    return ops.nms(boxes, scores, iou_threshold, offset)


@_provided
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Fill the first K rows of ``dets`` and return the K indices; see ``ops.soft_nms``."""
    kept, indices = ops.soft_nms(boxes, scores, iou_threshold, sigma, min_score, METHODS[method], offset)
    dets[: len(kept)] = kept
    return indices


@_provided
def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **sizes: int
) -> None:
    """Fill ``output``; see ``ops.deform_conv2d``."""
    _convolve(output, input, offset, weight, None, None, _old_geometry(sizes))


@_provided
def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Add to ``grad_input`` and ``grad_offset``."""
    grads = [grad_input, grad_offset, None, None, None]
    _add_gradients(grads, grad_output, [input, offset, weight, None, None], _old_geometry(sizes))


@_provided
def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **sizes: int,
) -> None:
    """Add ``scale`` times the gradient to ``grad_weight``."""
    grads = [None, None, grad_weight, None, None]
    _add_gradients(grads, grad_output * scale, [input, offset, grad_weight, None, None], _old_geometry(sizes))


@_provided
def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Fill ``output``; see ``ops.deform_conv2d``."""
    bias_or_none, geometry = bias if with_bias else None, _new_geometry(sizes)
    if torch.jit.is_tracing() or len(input) * _columns_per_image(input, weight, output) > KEPT_LIMIT:
        _convolve(output, input, offset, weight, mask, bias_or_none, geometry)
        return
    inputs = [input, offset, weight, mask, bias_or_none]
    with torch.enable_grad():
        leaves = _leaves(inputs, [i for i, tensor in enumerate(inputs) if tensor is not None])
        result = ops.deform_conv2d(*leaves, *geometry)
    output.copy_(result.detach())
    columns.kept = (result, leaves)  # type: ignore[attr-defined] # mmcv gives the same tensor to backward


@_provided
def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Add to the five gradients."""
    grads = [grad_input, grad_offset, grad_weight, grad_mask, grad_bias if with_bias else None]
    if kept := vars(columns).pop('kept', None):
        result, leaves = kept
        _add(grads, result, leaves, grad_output)
        return
    inputs = [input, offset, weight, mask, bias if with_bias else None]
    _add_gradients(grads, grad_output, inputs, _new_geometry(sizes))


@_provided
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output``, and for max (mode 0) the positions of the maxima; see ``ops.roi_align``."""
    bins = Bins((aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned)
    if pool_mode == 0:
        for buffer, value in zip((output, argmax_y, argmax_x), max_pool(input, rois, bins), strict=True):
            buffer.copy_(value)
    else:
        size, scale, ratio, half_cells = bins
        output.copy_(ops.roi_align(input, rois, size, scale, ratio, 'avg', half_cells))


@_provided
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add to ``grad_input``."""
    if pool_mode == 0:
        grad_input.add_(max_pool_gradient(grad_output, rois, argmax_y, argmax_x, grad_input.shape))
        return
    size = (aligned_height, aligned_width)
    with torch.enable_grad():
        x = torch.zeros_like(grad_input).requires_grad_()  # pooling is linear: the gradient is the same at any input
        pooled = ops.roi_align(x, rois, size, spatial_scale, sampling_ratio, 'avg', aligned)
    grad_input.add_(torch.autograd.grad(pooled, x, grad_output)[0])


@_provided
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output``; mmdet's focal loss calls this on CUDA."""
    loss = sigmoid_focal_loss(input, target, gamma, alpha)
    output.copy_(loss * weight[target][:, None] if weight.numel() else loss)


@_provided
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Add to ``grad_input``."""
    with torch.enable_grad():
        x = input.detach().requires_grad_()
        loss = sigmoid_focal_loss(x, target, gamma, alpha)
    factor = weight[target][:, None].expand_as(loss) if weight.numel() else torch.ones_like(loss)
    grad_input.add_(torch.autograd.grad(loss, x, factor)[0])


def _old_geometry(sizes: dict[str, int]) -> tuple:
    """Stride, padding and dilation, each (vertical, horizontal), from the argument names of version 1."""
    return tuple((sizes[f'{name}H'], sizes[f'{name}W']) for name in ('d', 'pad', 'dilation'))


def _new_geometry(sizes: dict[str, int]) -> tuple:
    """Stride, padding and dilation, each (vertical, horizontal), from the argument names of version 2."""
    return tuple((sizes[f'{name}_h'], sizes[f'{name}_w']) for name in ('stride', 'pad', 'dilation'))


def _convolve(output: Tensor, x: Tensor, offset: Tensor, weight: Tensor, mask: Any, bias: Any, geometry: tuple) -> None:
    for part in _image_parts(x, weight, output):
        output[part] = ops.deform_conv2d(x[part], offset[part], weight, _of(mask, part), bias, *geometry)


def _add_gradients(grads: list, grad_output: Tensor, inputs: list, geometry: tuple) -> None:
    """Add the gradients of x, offset, weight, mask and bias to their buffers; a buffer of None is skipped."""
    wanted = [i for i, grad in enumerate(grads) if grad is not None]
    per_image = (0, 1, 3)  # x, offset and mask have an image axis, weight and bias are shared
    for part in _image_parts(inputs[0], inputs[2], grad_output):
        of_part = [part if i in per_image else slice(None) for i in range(len(inputs))]
        with torch.enable_grad():
            leaves = _leaves([_of(t, index) for t, index in zip(inputs, of_part, strict=True)], wanted)
            result = ops.deform_conv2d(*leaves, *geometry)
        _add([_of(t, index) for t, index in zip(grads, of_part, strict=True)], result, leaves, grad_output[part])


def _leaves(inputs: list, wanted: list[int]) -> list[Any]:
    """The inputs, those that want a gradient as leaves of a new graph."""
    return [t.detach().requires_grad_() if i in wanted else t for i, t in enumerate(inputs)]


def _add(grads: list, result: Tensor, leaves: list, grad_output: Tensor) -> None:
    """Add the gradients of a result with respect to its leaves to their buffers."""
    wanted = [i for i, grad in enumerate(grads) if grad is not None]
    found = torch.autograd.grad(result, [leaves[i] for i in wanted], grad_output)
    for i, gradient in zip(wanted, found, strict=True):
        grads[i].add_(gradient)


def _image_parts(x: Tensor, weight: Tensor, output: Tensor) -> list[slice]:
    """Split the batch so that the sampled columns of each part stay below the limit."""
    step = max(1, COLUMN_LIMIT // _columns_per_image(x, weight, output))
    return [slice(start, start + step) for start in range(0, len(x), step)]


def _columns_per_image(x: Tensor, weight: Tensor, output: Tensor) -> int:
    return x.shape[1] * weight.shape[2:].numel() * output.shape[2:].numel()


def _of(tensor: Tensor | None, part: slice) -> Tensor | None:
    return None if tensor is None else tensor[part]
