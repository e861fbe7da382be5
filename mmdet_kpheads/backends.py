"""Which version of a formula runs: the reference in ``functional/``, or a faster one in ``kernels/``.

The kernels are optional: without that folder every formula runs as its reference.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import torch
from torch import Tensor

BACKENDS = ('auto', 'reference', 'cpu', 'compiled')
Formula = TypeVar('Formula', bound=Callable)


def version_of(reference: Formula, tensor: Tensor, backend: str = 'auto') -> Formula:
    """The version of a formula for a tensor.

    Args:
        reference: The formula in ``functional/`` (or ``ops/``).
        tensor: A tensor on the device of the call.
        backend: One of ``BACKENDS``. ``'auto'`` takes ``'cpu'`` for a CPU tensor, ``'compiled'`` for a CUDA tensor, and
            ``'reference'`` on other devices and under ``torch.compile``, which fuses the plain formula by itself.

    Returns:
        A function with the signature and, up to rounding, the values and gradients of ``reference``; ``reference``
        itself where the backend has no other version.

    Raises:
        ValueError: For an unknown backend, or ``'cpu'`` for a tensor on another device.
    """
    name = chosen_backend(tensor, backend)
    if name == 'reference':
        return reference
    try:
        from .kernels import VERSIONS
    except ModuleNotFoundError as error:
        if error.name != f'{__package__}.kernels':
            raise
        return reference
    return cast(Formula, VERSIONS[name].get(reference.__name__, reference))


def chosen_backend(tensor: Tensor, backend: str = 'auto') -> str:
    """Resolve ``'auto'``; see :func:`version_of`."""
    check_backend(backend)
    device = tensor.device.type
    if backend == 'cpu' and device != 'cpu':
        raise ValueError(f"backend='cpu' reads values on the host: it needs CPU tensors, but got one on {device!r}")
    if torch.compiler.is_compiling():
        return 'reference'
    if backend != 'auto':
        return backend
    return {'cpu': 'cpu', 'cuda': 'compiled'}.get(device, 'reference')


def check_backend(backend: str) -> None:
    """Raise ``ValueError`` for an unknown backend."""
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {BACKENDS}, but got {backend!r}')
