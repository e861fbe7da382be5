"""Sums whose gradients are made together with their value."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .blocks import reads_are_free

Compute = Callable[..., tuple[Tensor, ...]]


def one_pass_sum(compute: Compute, *inputs: Tensor) -> Tensor:
    """A scalar with gradients that ``compute`` works out beside it, which saves every intermediate map.

    The gradients stay in float32 until they are scaled, so that a loss scaler for half precision has its effect.

    Args:
        compute: Gives the scalar and its gradient by each input, float32 or float64.
        inputs: What the gradients are taken by.
    """
    total: Tensor = _OnePassSum.apply(compute, *inputs)
    return total


class _OnePassSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, *inputs: Tensor) -> Tensor:
        total, *gradients = compute(*inputs)
        ctx.gradients = gradients
        ctx.again = lambda: compute(*inputs)[1:]  # for a second backward: the first one gives its buffers away
        ctx.dtypes = [tensor.dtype for tensor in inputs]
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients or ctx.again(), None
        (scale,) = grads
        if not (reads_are_free(scale.device) and scale == 1):
            gradients = [gradient.mul_(scale) for gradient in gradients]
        return (None, *[gradient.to(dtype) for gradient, dtype in zip(gradients, ctx.dtypes, strict=True)])
