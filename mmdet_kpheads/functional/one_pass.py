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
    total: Tensor = _OnePassSum.apply(compute, None, *inputs)[0]
    return total


def one_pass_sum_and_values(compute: Compute, cells: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`one_pass_sum`, with the values of the first input at some cells.

    What flows back to the values is added where the sum's gradient stands already, without a map of its own.

    Args:
        compute: As of :func:`one_pass_sum`.
        cells: (P,) int64 into the first input, flat; a cell may come twice.
        inputs: As of :func:`one_pass_sum`.

    Returns:
        The scalar, and (P,) values in the precision of the gradient.
    """
    total, values = _OnePassSum.apply(compute, cells, *inputs)
    return total, values


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


class _OnePassSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, cells: Tensor | None, *inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        total, *gradients = compute(*inputs)
        values = None if cells is None else inputs[0].flatten().index_select(0, cells).to(gradients[0].dtype)
        ctx.gradients = gradients
        ctx.again = lambda: compute(*inputs)[1:]  # for a second backward: the first one gives its buffers away
        ctx.cells = cells
        ctx.dtypes = [tensor.dtype for tensor in inputs]
        return total, values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivative()
        gradients, ctx.gradients = ctx.gradients or ctx.again(), None
        scale, of_values = grads
        if ctx.cells is None:
            return (None, None, *[_scaled(*pair, scale) for pair in zip(gradients, ctx.dtypes, strict=True)])
        first, *others = [_scaled(gradient, gradient.dtype, scale) for gradient in gradients]
        first = first.contiguous()
        first.view(-1).scatter_add_(0, ctx.cells, of_values)
        return (None, None, *[map_.to(dtype) for map_, dtype in zip((first, *others), ctx.dtypes, strict=True)])


def _scaled(gradient: Tensor, dtype: torch.dtype, scale: Tensor) -> Tensor:
    """``gradient`` times ``scale``, rounded once, in its own memory if the type is the same."""
    if reads_are_free(scale.device) and scale == 1:
        return gradient.to(dtype)
    return torch.mul(
        gradient, scale, out=gradient if dtype == gradient.dtype else torch.empty_like(gradient, dtype=dtype)
    )
