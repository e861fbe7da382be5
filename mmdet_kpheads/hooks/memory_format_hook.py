"""Stores the weights of convolutions channels last, which convolutions then run in."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Converts the model to channels last before a training or a test; results change by rounding alone.

    On a GPU and on a CPU with bfloat16 instructions that is faster in both; on other CPUs in a test alone.

    A convolution whose weight lies channels last returns its output so, whatever its input was. Checkpoints are the
    same: a state dict has no memory format.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Convert the model, before a training or a test."""
        runner.model.to(memory_format=torch.channels_last)
