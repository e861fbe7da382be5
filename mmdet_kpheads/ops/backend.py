"""The one place that chooses between torchvision's kernels and plain torch, and the precision."""

from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def torchvision_ops(device_type: str) -> Any | None:
    """Give ``torchvision.ops`` if its kernels run on a device, else None.

    A torchvision that does not fit the installed torch may fail on import, in the first call, or on the GPU
    alone; so a tiny call decides, once per kind of device.

    Args:
        device_type: ``'cpu'``, ``'cuda'``, ...
    """
    try:
        from torchvision import ops

        ops.nms(torch.zeros(1, 4, device=device_type), torch.zeros(1, device=device_type), 0.5)
    except (ImportError, RuntimeError, OSError, AttributeError):
        return None
    return ops


def full_precision(x: Tensor) -> Tensor:
    """Give ``x`` in float32, or as it is when it is float64."""
    return x if x.dtype == torch.float64 else x.float()
