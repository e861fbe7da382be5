"""The formulas compiled by Inductor: a pass over a whole map becomes a few kernels."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..functional import gaussian_focal, joint_focal
from ..functional.gaussian import Gaussians, draw

COMPILERS = ('torch._dynamo', 'torch._inductor', 'triton')  # modules whose errors mean that nothing could be compiled
REASON_LENGTH = 200  # characters of an error that the log shows


class Compiled:
    """A function of tensors that is compiled at its first call.

    That takes some seconds, so a line in the log announces it; new shapes may take them again. Where compiling fails
    (no Triton, no C compiler), another line gives the reason, and the function runs eagerly from then on. Set
    ``TORCH_COMPILE_DISABLE=1`` to keep it eager.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the compiled function."""
        if self._compiled is None:
            self._compiled = self._compile()
        try:
            return self._compiled(*args, **options)
        except Exception as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            self._give_up(error)
        return self._function(*args, **options)  # not inside the handler, which would keep the compiler's tensors

    def _compile(self) -> Callable[..., Any]:
        print_log(f'compiling {self._name}: this takes some seconds at its first shapes', 'current')
        try:
            return torch.compile(self._function)
        except Exception as error:  # a Python or a system that torch.compile does not support
            self._give_up(error)
        return self._function

    def _give_up(self, error: Exception) -> None:
        cause = getattr(error, 'inner_exception', error)
        reason = ' '.join(str(cause).split())[:REASON_LENGTH] or type(cause).__name__
        print_log(f'{self._name} is not compiled and therefore slower: {reason}', 'current', logging.WARNING)
        self._compiled = self._function

    @property
    def _name(self) -> str:
        return f'{self._function.__module__}.{self._function.__name__}'


_focal_sum_of_map = Compiled(gaussian_focal.gaussian_focal_sum)
_joint_focal_sum_of_map = Compiled(joint_focal.joint_focal_sum_of_map)


def gaussian_focal_sum(logits: Tensor, target: Tensor | Gaussians, *args: Any, **options: Any) -> Tensor:
    """As the formula of that name; the Gaussians are drawn before the compiled pass."""
    total: Tensor = _focal_sum_of_map(
        logits, draw(target) if isinstance(target, Gaussians) else target, *args, **options
    )
    return total


def joint_focal_sum(
    class_logits: Tensor, objectness_logits: Tensor, weight: joint_focal.SparseWeight
) -> tuple[Tensor, Tensor]:
    """As the formula of that name; the weight is drawn before the compiled pass."""
    logits = class_logits.float()  # once: the gradients of both results are added before they are rounded
    total: Tensor = _joint_focal_sum_of_map(logits, objectness_logits, weight.dense(logits))
    return total, logits.flatten().index_select(0, weight.cells)


VERSIONS: dict[str, Callable[..., Any]] = {
    'gaussian_focal_sum': gaussian_focal_sum,
    'joint_focal_sum': joint_focal_sum,
}
