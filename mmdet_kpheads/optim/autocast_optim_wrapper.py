"""Mixed precision without loss scaling, on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from ..registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Runs forward and losses under autocast in bfloat16; weights, gradients and checkpoints stay float32.

    bfloat16 has the range of float32, so nothing is scaled. Clipping and accumulation are those of OptimWrapper, and a
    checkpoint goes on under either.

    Differs from mmengine's AmpOptimWrapper: it runs on a CPU too, and has no GradScaler. For float16, which needs one,
    take that.

    Args:
        kwargs: As of OptimWrapper.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=0.1))
        >>> with wrapper.optim_context(layer):
        ...     layer(torch.zeros(1, 2)).dtype
        torch.bfloat16
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = torch.device(get_device()).type

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no synchronization of gradients while they are accumulated."""
        with super().optim_context(model), torch.autocast(self.device_type, torch.bfloat16):
            yield
