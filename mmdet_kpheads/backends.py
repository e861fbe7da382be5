"""Which version of a formula runs: the reference in ``functional/``, or a faster one in ``kernels/``.

The kernels are optional: without that folder every formula runs as its reference.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

BACKENDS = ('auto', 'reference', 'cpu', 'compiled', 'export')
OF_DEVICE = {'cpu': 'cpu', 'cuda': 'compiled'}  # what 'auto' takes; 'reference' for other devices
Formula = TypeVar('Formula', bound=Callable)


def version_of(reference: Formula, tensor: Tensor, backend: str = 'auto') -> Formula:
    """The version of a formula for a tensor.

    Args:
        reference: The formula in ``functional/`` (or ``ops/``).
        tensor: A tensor on the device of the call.
        backend: One of ``BACKENDS``. ``'auto'`` takes ``'cpu'`` for a CPU tensor, ``'compiled'`` for a CUDA tensor, and
            ``'reference'`` on other devices, and on a CPU also under ``torch.compile``. ``'export'`` decodes with
            operators that ONNX has.

    Returns:
        A function with the signature and, up to rounding, the values and gradients of ``reference``; ``reference``
        itself where the backend has no other version.

    Raises:
        ValueError: For an unknown backend, or ``'cpu'`` for a tensor on another device.
    """
    name = chosen_backend(tensor, backend)
    if name == 'reference':
        return reference
    kernels = _kernels()
    versions = kernels.VERSIONS[name] if kernels else {}
    # not .get(): torch.compile would not know a default that a decorator made
    return cast(Formula, versions[reference.__name__]) if reference.__name__ in versions else reference


def chosen_backend(tensor: Tensor, backend: str = 'auto') -> str:
    """Resolve ``'auto'``; see :func:`version_of`."""
    check_backend(backend)
    device = tensor.device.type
    if backend == 'cpu' and device != 'cpu':
        raise ValueError(f"backend='cpu' reads values on the host: it needs CPU tensors, but got one on {device!r}")
    if torch.compiler.is_compiling() and device == 'cpu' and backend != 'export':
        return 'reference'  # torch.compile fuses the plain formula by itself
    if backend != 'auto':
        return backend
    return OF_DEVICE.get(device, 'reference')


def as_one_graph(function: Formula, tensor: Tensor, backend: str = 'auto') -> Formula:
    """A function of many small steps as one compiled graph, for the device of a tensor.

    The same function where it is not compiled: on a CPU, which waits for no launch, with the backend ``'reference'``,
    and inside another compiled function.
    """
    inside = torch.compiler.is_compiling()
    if inside or tensor.device.type == 'cpu' or chosen_backend(tensor, backend) != 'compiled':
        return function
    kernels = _kernels()
    return cast(Formula, kernels.compiled.as_one_graph(function)) if kernels else function


def outside_graphs(function: Formula) -> Formula:
    """``torch.compiler.disable`` that imports the compiler only while something is compiled."""
    # torch's own modules take the private one, which imports the compiler when it is called
    disabled = getattr(torch, '_disable_dynamo', torch.compiler.disable)(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (disabled if torch.compiler.is_compiling() else function)(*args, **kwargs)

    return cast(Formula, call)


def _kernels() -> Any:
    """The optional folder, or None if it was deleted."""
    try:
        from . import kernels
    except ImportError as error:
        if error.name not in (__package__, f'{__package__}.kernels'):
            raise
        return None
    return kernels


def check_backend(backend: str) -> None:
    """Raise ``ValueError`` for an unknown backend."""
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {BACKENDS}, but got {backend!r}')
