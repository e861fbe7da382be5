"""Formulas, and whole losses and decoders, compiled by Inductor: many small steps become a few kernels."""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..functional import embedding, gaussian_focal, joint_focal
from ..functional.distances import between
from ..functional.embedding import PairingReport, PullPush
from ..functional.gaussian import Gaussians, draw
from ..functional.joint_focal import SparseWeight, joint_focal_loss
from ..ops import soft_nms_batch as reference_soft_nms_batch
from . import fused_ops

COMPILERS = ('torch._dynamo', 'torch._inductor', 'triton')  # modules whose errors mean that nothing could be compiled
REASON_LENGTH = 200  # characters of an error that the log shows


class Compiled:
    """A function of tensors that is compiled at its first call.

    That takes some seconds, so one line in the log announces it and another says how long it took; new shapes may take
    them again. Where compiling fails (no Triton, no C compiler), a line gives the reason, and the function runs eagerly
    from then on. ``TORCH_COMPILE_DISABLE=1`` keeps it eager; ``TORCHINDUCTOR_CACHE_DIR`` is the folder in which torch
    keeps its code. Inside another compiled function it is a part of that one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the compiled function."""
        if torch.compiler.is_compiling():
            return self._function(*args, **options)
        if self._compiled is None:
            return self._first_call(*args, **options)
        return self._call(*args, **options)

    def _first_call(self, *args: Any, **options: Any) -> Any:
        print_log(f'compiling {self._name}: this takes some seconds at its first shapes', 'current')
        start = time.perf_counter()
        try:
            self._compiled = torch.compile(self._function)
        except Exception as error:  # a Python or a system that torch.compile does not support
            self._give_up(error)
        result = self._call(*args, **options)
        if self._compiled is not self._function:
            print_log(f'compiled {self._name} in {time.perf_counter() - start:.1f} s', 'current')
        return result

    def _call(self, *args: Any, **options: Any) -> Any:
        compiled: Any = self._compiled
        try:
            return compiled(*args, **options)
        except Exception as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            self._give_up(error)
        return self._function(*args, **options)  # not inside the handler, which would keep the compiler's tensors

    def _give_up(self, error: Exception) -> None:
        cause = getattr(error, 'inner_exception', error)
        reason = ' '.join(str(cause).split())[:REASON_LENGTH] or type(cause).__name__
        print_log(f'{self._name} is not compiled and therefore slower: {reason}', 'current', logging.WARNING)
        self._compiled = self._function

    @property
    def _name(self) -> str:
        return f'{self._function.__module__}.{self._function.__qualname__}'


as_one_graph = cache(Compiled)  # one for each function

_focal_sum_of_map = Compiled(gaussian_focal.gaussian_focal_sum)
_joint_focal_sum_of_map = Compiled(joint_focal.joint_focal_sum_of_map)


def gaussian_focal_sum(logits: Tensor, target: Tensor | Gaussians, *args: Any, **options: Any) -> Tensor:
    """As the formula of that name; without Triton the Gaussians are drawn before the compiled pass."""
    weight = args[0] if args else options.get('weight')
    if isinstance(target, Gaussians) and fused_ops.available(logits) and fused_ops.takes(logits, weight):
        return fused_ops.gaussian_focal_sum(logits, target, *args, **options)
    total: Tensor = _focal_sum_of_map(
        logits, draw(target) if isinstance(target, Gaussians) else target, *args, **options
    )
    return total


def joint_focal_sum(class_logits: Tensor, objectness_logits: Tensor, weight: SparseWeight) -> tuple[Tensor, Tensor]:
    """As the formula of that name, without a map of the weight: a pass with weight 1, and what the cells change.

    The change of a cell is the difference of two losses, so the sum is that of the formula up to rounding.
    """
    logits = class_logits.float()  # once: the gradients of both results are added before they are rounded
    objectness, points = objectness_logits.float(), logits.shape[-1]
    point = weight.cells // (logits.shape[1] * points) * points + weight.cells % points  # (P,) in [0, B * T)
    counted, everywhere = smallest_of_each(weight), logits
    if weight.ignored is not None:  # the loss of -inf is 0, without a gradient
        counted = counted & ~weight.ignored.flatten().index_select(0, point)
        everywhere = logits.masked_fill(weight.ignored[:, None], -torch.inf)
    total = _joint_focal_sum_of_map(everywhere, objectness)
    found = logits.flatten().index_select(0, weight.cells)
    at_point = objectness.flatten().index_select(0, point)
    change = joint_focal_loss(found, at_point, weight.values) - joint_focal_loss(found, at_point)
    return total + torch.where(counted, change, 0.0).sum(), found


def smallest_of_each(weight: SparseWeight) -> Tensor:
    """Mark the smallest value of every cell, (P,) bool; of equal ones any, but one.

    Each pair becomes one integer: the cell above the bits of the value, which is not negative.
    """
    bits = weight.values.float().view(torch.int32).long()
    ordered, order = ((weight.cells << 32) + bits).sort()
    cells = ordered >> 32
    first = torch.ones_like(cells, dtype=torch.bool)
    first[1:] = cells[1:] != cells[:-1]
    return torch.zeros_like(first).scatter(0, order, first)


def pull_push(tags: Tensor, mask: Tensor, margin: float = 1.0, distance: str = 'l1') -> PullPush:
    """As the formula of that name; in a compiled graph no number of a pair is in memory."""
    return embedding.pull_push(tags, mask, margin, distance, summed_closeness)


def summed_closeness(mean: Tensor, mask: Tensor, margin: float, p: float) -> Tensor:
    """As the formula of that name, for L1 with its slope, so that backward needs no pairs.

    The slope of a pair is a sign for each channel; the sum of an object's signs is what its mean tag gets.
    """
    if p != 1 or not torch.compiler.is_compiling():
        return embedding.summed_closeness(mean, mask, margin, p)
    fixed = mean.detach()
    gap = fixed[:, :, None] - fixed[:, None]  # (B, N, N, D)
    room = margin - _summed(gap.abs())
    close = embedding.different_objects(mask) & (room > 0)
    slope = -2 * torch.where(close[..., None], gap.sign(), 0.0).sum(2)  # (B, N, D)
    # 0, and carries the gradient; where a tag pushes nothing it may be infinite
    zero = torch.where(slope != 0, mean - fixed, 0.0)
    # over one dimension first: Inductor computes it in the pass of the slope
    return torch.where(close, room, 0.0).sum(2).sum(1) + (zero * slope).sum((1, 2))


def pairing_report(tags: Tensor, mask: Tensor, threshold: float, distance: str = 'l1') -> PairingReport:
    """As the formula of that name, likewise."""
    return embedding.pairing_report(tags, mask, threshold, distance, fused_between)


def fused_between(first: Tensor, second: Tensor, p: float) -> Tensor:
    """As ``functional.distances.between``, without a gradient: in a compiled graph L1 as differences."""
    if p != 1 or not torch.compiler.is_compiling():
        return between(first, second, p)
    return _summed((first[..., :, None, :] - second[..., None, :, :]).abs())


def _summed(channels: Tensor) -> Tensor:
    """The sum over the last, small dimension, which Inductor then fuses with what follows."""
    first, *others = channels.unbind(-1)
    return sum(others, first)


def soft_nms_batch(boxes: Tensor, scores: Tensor, labels: Tensor, rounds: int, **options: Any) -> tuple[Tensor, Tensor]:
    """As the formula of that name."""
    fits = scores.shape[1] <= fused_ops.MAX_BOXES and fused_ops.available(scores)
    formula = fused_ops.soft_nms_batch if fits else reference_soft_nms_batch
    return formula(boxes, scores, labels, rounds, **options)


VERSIONS: dict[str, Callable[..., Any]] = {
    'gaussian_focal_sum': gaussian_focal_sum,
    'joint_focal_sum': joint_focal_sum,
    'pairing_report': pairing_report,
    'pull_push': pull_push,
    'soft_nms_batch': soft_nms_batch,
}
