"""Passes over whole maps as one kernel, where a compiler makes one."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from mmengine.logging import print_log

FUSED_DEVICES = {'cuda'}  # by Inductor's Triton; on a CPU blocks that stay in the cache are faster (docs/benchmarks.md)
COMPILERS = ('torch._dynamo', 'torch._inductor', 'triton')  # modules whose errors mean that nothing could be compiled


class Fused:
    """A function of tensors that is compiled when it is first called on a device where that pays.

    The first call says so in a line of the log, since it takes some seconds. Where compiling fails (no Triton, no C
    compiler), another line says why, and the function runs as it is from then on.

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
            print_log(f'compiling {self._name} for {device}: some seconds, once', 'current')
            self._compiled = torch.compile(self._function)
        try:
            return self._compiled(*args)
        except Exception as error:
            if not type(error).__module__.startswith(COMPILERS):
                raise
            reason = str(error).strip().splitlines()[0]
            print_log(f'{self._name} is not compiled, which makes it slower: {reason}', 'current', logging.WARNING)
            self._compiled = self._function
            return self._function(*args)

    @property
    def _name(self) -> str:
        return f'{self._function.__module__}.{self._function.__name__}'
