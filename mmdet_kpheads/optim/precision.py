"""Which number format mixed precision takes on a device."""

import torch

from ..compat.cpu_features import cpu_computes_bfloat16
from ..errors import InputError

BFLOAT16_CAPABILITY = (8, 0)  # of the first GPUs that compute bfloat16 natively (Ampere)


def native_bfloat16(device: str) -> bool:
    """Whether a device computes bfloat16 in hardware; elsewhere it is slower than float32.

    Args:
        device: ``'cuda'``, ``'cpu'`` or another device type; True for those that are not known.
    """
    if device == 'cuda':
        return torch.cuda.get_device_capability() >= BFLOAT16_CAPABILITY
    if device == 'cpu':
        return cpu_computes_bfloat16()
    return True


def mixed_precision(choice: str, device: str) -> str:
    """The number format of a choice on a device: ``'bf16'`` or ``'fp16'``.

    Args:
        choice: ``'bf16'``, ``'fp16'`` or ``'auto'``: bfloat16 where it is native, and float16 with loss scaling on
            older GPUs.
        device: ``'cuda'``, ``'cpu'`` or another device type.

    Raises:
        InputError: Where it would not run or be slower than float32.
    """
    native = native_bfloat16(device)
    if choice == 'auto':
        choice = 'fp16' if device == 'cuda' and not native else 'bf16'
    if device not in ('cuda', 'cpu'):
        raise InputError(f'--amp: mixed precision is for CUDA and CPUs, but the device is {device!r}: leave it out')
    if choice == 'fp16' and device == 'cpu':
        raise InputError('--amp fp16 needs a GPU: on a CPU float16 is slower than float32; leave it out or take bf16')
    if choice == 'bf16' and not native:
        kind, other = ('GPU', 'take --amp fp16') if device == 'cuda' else ('CPU', 'leave out --amp')
        raise InputError(f'--amp bf16: this {kind} has no bfloat16 instructions, so it would be slower: {other}')
    return choice
