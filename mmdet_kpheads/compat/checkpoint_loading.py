"""Checkpoints are read as data only (``weights_only=True``), with either mmengine and any torch.

mmengine 0.10.7 does not tell ``torch.load`` which globals its own checkpoints hold, so from torch 2.6 on it
cannot resume; the fork's loader falls back to running the pickle; and both run a downloaded one. Here the
few globals are declared, and mmengine's ways to a local file or a URL go through ``load``.
"""

import os
import re
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint as mmengine_checkpoint

from ..errors import InputError

NUMPY_CORE = np._core if hasattr(np, '_core') else np.core  # numpy 2, numpy 1
NUMBER_TYPES = '?bhilqBHILQefd'
# mmengine pickles these functions, which Python writes as getattr(class, name).
FUNCTIONS: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def register() -> None:
    """Declare the globals of mmengine's checkpoints as safe and make its loaders strict."""
    torch.serialization.add_safe_globals(_safe_globals())
    mmengine_checkpoint._safe_torch_load = load
    mmengine_checkpoint.load_url = load_url
    mmengine_checkpoint.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)


def load(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Read a checkpoint as data; in the place of the fork's ``_safe_torch_load``.

    Args:
        file: Path or open file.
        map_location: As for ``torch.load``.
        weights_only: Not used, it is always True.

    Raises:
        InputError: If the file asks for anything but data. It names the file and what it asked for, and
            nothing of the file has run.
    """
    return _refusing(file, lambda: torch.load(file, map_location=map_location, weights_only=True))


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint file; mmengine's loader for paths.

    Args:
        filename: Path; ``~`` is the home folder.
        map_location: As for ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
        InputError: As ``load``.
    """
    path = os.path.expanduser(filename)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{filename} can not be found.')
    return load(path, map_location)


def load_url(url: str, **options: Any) -> Any:
    """Download a checkpoint and read it as data.

    Args:
        url: Where it is.
        options: As for ``torch.hub.load_state_dict_from_url``.

    Raises:
        InputError: As ``load``.
    """
    options['weights_only'] = True
    return _refusing(url, lambda: torch.hub.load_state_dict_from_url(url, **options))


def _refusing(source: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnpicklingError as error:
        asked = re.search(r'GLOBAL (\S+)', str(error)) or re.search(r'REDUCE.* (\S+)', str(error))
        reason = f'it asks for {asked[1]}, which is no data' if asked else str(error).splitlines()[0]
        raise InputError(
            f'checkpoint {getattr(source, "name", source)!r} is refused: {reason}. Nothing of it was run. '
            'If you trust its origin, declare that with torch.serialization.add_safe_globals first.'
        ) from None


def _safe_globals() -> list[Callable | tuple[Callable, str]]:
    """List what mmengine's checkpoints hold beside tensors: log histories, as arrays, and a schedule."""
    multiarray = NUMPY_CORE.multiarray
    rebuild = [
        _named(function, f'{package}.multiarray', function.__name__)
        for function in (multiarray._reconstruct, multiarray.scalar)
        for package in ('numpy.core', 'numpy._core')  # as numpy 1 and numpy 2 write it
    ]
    number_types = {type(np.dtype(code)) for code in NUMBER_TYPES}
    return [
        *FUNCTIONS,
        *rebuild,
        np.ndarray,
        np.dtype,
        *number_types,
        _named(_function_of, 'builtins', 'getattr'),
    ]


def _function_of(owner: Any, name: str) -> Any:
    """Stand for ``getattr``, for those functions alone that mmengine pickles."""
    if not isinstance(owner, type) or name not in FUNCTIONS.get(owner, ()):
        raise UnpicklingError(f'Unsupported global: GLOBAL {getattr(owner, "__name__", owner)}.{name}')
    return getattr(owner, name)


def _named(function: Callable, module: str, name: str) -> Callable:
    """Wrap a function under the name by which checkpoints ask for it."""

    def wrapped(*args: Any) -> Any:
        return function(*args)

    wrapped.__module__, wrapped.__name__, wrapped.__qualname__ = module, name, name
    return wrapped
