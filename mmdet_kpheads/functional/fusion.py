"""Passes over whole maps as few kernels, where a compiler makes them."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from mmengine.logging import print_log

FUSED_DEVICES = {'cuda'}  # by Inductor's Triton; on a CPU blocks that stay in the cache are faster (docs/benchmarks.md)
COMPILERS = ('torch._dynamo', 'torch._inductor', 'triton')  # modules whose errors mean that nothing could be compiled
REASON_LENGTH = 200  # characters of an error that the log shows


class Fused:
    """A function of tensors that is compiled when it is first called on a device where that pays.

    The first call says so in a line of the log, since it takes some seconds; other shapes may take them again. Where
    compiling fails (no Triton, no C compiler), another line says why, and the function runs as it is from then on.

    Args:
        function: Its first argument is a tensor on the device in question.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> Any:
        """What the function gives."""
        device = args[0].device.type
        if device not in FUSED_DEVICES:
            return self._function(*args)
        if self._compiled is None:
            self._compiled = self._compile(device)
        try:
            return self._compiled(*args)
        except Exception as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            self._give_up(error)
        return self._function(*args)  # not inside the handler, which would keep the compiler's tensors

    def _compile(self, device: str) -> Callable[..., Any]:
        print_log(f'compiling {self._name} for {device}: some seconds at its first shapes', 'current')
        try:
            return torch.compile(self._function)
        except Exception as error:  # a Python or a system that torch.compile does not know
            self._give_up(error)
        return self._function

    def _give_up(self, error: Exception) -> None:
        cause = getattr(error, 'inner_exception', error)
        reason = ' '.join(str(cause).split())[:REASON_LENGTH] or type(cause).__name__
        print_log(f'{self._name} is not compiled, which makes it slower: {reason}', 'current', logging.WARNING)
        self._compiled = self._function

    @property
    def _name(self) -> str:
        return f'{self._function.__module__}.{self._function.__name__}'
