"""Stores the weights of convolutions channels last, which convolutions then run in."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..compat import mmcv_ext
from ..registry import HOOKS

CONTIGUOUS_ONLY = 'DeformConv'  # in the names of mmcv's modules, whose compiled ops want contiguous maps


def to_channels_last(model: Any) -> bool:
    """Convert a model in place, and return whether it could be.

    A model with deformable convolutions of a compiled mmcv is left as it is.
    """
    if not mmcv_ext.in_use() and any(CONTIGUOUS_ONLY in type(module).__name__ for module in model.modules()):
        return False
    model.to(memory_format=torch.channels_last)
    return True


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Converts the model to channels last before a training or a test; results change by rounding alone.

    A convolution whose weight lies channels last returns its output so, whatever its input was. Checkpoints are the
    same: a state dict has no memory format. A model with deformable convolutions of a compiled mmcv is left as it is.

    With several GPUs the model is wrapped before: DistributedDataParallel then warns that strides of gradients and
    buckets differ, and copies them.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Convert the model."""
        if not to_channels_last(runner.model):
            runner.logger.info("memory format: contiguous, for mmcv's compiled deformable convolutions")
