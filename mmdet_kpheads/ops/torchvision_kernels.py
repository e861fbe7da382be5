"""Which ops are computed by torchvision's kernels, and the precision of the computation."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

# Devices where a kernel of torchvision is used. On a CPU the other two are 1.4 to 9 times slower than plain torch in a
# training step (docs/ops.md); on CUDA nothing was measured.
USED_ON: dict[str, tuple[str, ...]] = {
    'nms': ('cpu', 'cuda'),
    'deform_conv2d': ('cuda',),
    'roi_align': ('cuda',),
}


def torchvision_op(name: str, device_type: str) -> Callable | None:
    """Return the function of ``torchvision.ops`` that computes an op on a device; None where plain torch does.

    Args:
        name: A key of ``USED_ON``.
        device_type: ``'cpu'``, ``'cuda'``, ...
    """
    kernels = torchvision_ops(device_type) if device_type in USED_ON[name] else None
    return kernels and getattr(kernels, name)


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
