"""Selects torchvision's kernels or plain torch, and the precision of the computation."""

from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def torchvision_ops(device_type: str) -> Any | None:
    """Return ``torchvision.ops`` if its kernels run on a device, else None.

    A torchvision that does not match the installed torch may fail on import, in the first call, or on the GPU only.
    A tiny call therefore decides, once per device type.

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
    """Return ``x`` as float32, or unchanged if it is float64."""
    return x if x.dtype == torch.float64 else x.float()
