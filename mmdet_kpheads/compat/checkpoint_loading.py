"""Read checkpoints as data only (``weights_only=True``), with either mmengine and any torch.

mmengine 0.10.7 does not declare the classes in its own checkpoints to ``torch.load``, so it cannot resume with torch
2.6 or newer. The maintained fork falls back to running the pickle. Both run the pickle of a download.
``declare_safe_globals`` makes mmengine's own checkpoints readable as data. ``install`` also replaces mmengine's loaders
for local files and URLs by ``load``, which has no fallback.
"""

import _codecs
import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import checkpoint as mmengine_checkpoint
from numpy._core import multiarray
from torch.torch_version import TorchVersion

from ..errors import InputError, shown

NUMBER_TYPES = '?bhilqBHILQefd'
ZIP_START, PICKLE_START = b'PK\x03\x04', b'\x80'  # of checkpoints since torch 1.6, and of older ones
# Other files that are taken for checkpoints: how they begin, and what they are
KINDS = {
    b'<': 'a web page or XML: was the download refused?',
    b'version https://git-lfs': 'a pointer of Git LFS: fetch the file itself with git lfs pull',
    b'\x08': 'an ONNX file, or another one in protobuf',
    b'\x89HDF': 'an HDF5 file',
    b'\x1f\x8b': 'compressed: unpack it first',
}
# What torch raises for files that are not as it wrote them; EINVAL for one that is cut off near its end
BROKEN = (UnpicklingError, EOFError, RuntimeError, ValueError, KeyError, IndexError, AttributeError, OSError)
ARCHIVES = {  # files in zip archives that torch.save did not write
    'constants.pkl': 'it is a TorchScript archive; take the checkpoint that it was made from',
    'archive_format': 'it is a model in the format .pt2; take the checkpoint that it was made from',
}
# mmengine pickles these functions, which Python writes as getattr(class, name).
FUNCTIONS: dict[type, tuple[str, ...]] = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# The fork's loader lists some of the same classes in torch.serialization.safe_globals, which forgets them afterwards.
# An entry with its name is another one, and stays. Older torch takes no names, and there the fork does not do this.
NAMED_ENTRIES = TorchVersion(torch.__version__) >= '2.6'


def declare_safe_globals() -> None:
    """Declare what mmengine's checkpoints hold as safe to ``torch.load``. Changes nothing in mmengine."""
    torch.serialization.add_safe_globals(_SAFE_GLOBALS)


def install() -> None:
    """Make mmengine's loaders strict."""
    mmengine_checkpoint._safe_torch_load = load
    mmengine_checkpoint.load_url = load_url
    mmengine_checkpoint.CheckpointLoader.register_scheme('', loader=load_from_local, force=True)


def load(file: Any, map_location: Any = None, weights_only: bool | None = None, mmap: bool = False) -> Any:
    """Read a checkpoint as data; replaces the fork's ``_safe_torch_load``.

    Args:
        file: Path or open file.
        map_location: As for ``torch.load``.
        weights_only: Ignored; it is always True.
        mmap: Read the tensors only when they are used. Files of torch before 1.6 do not allow it.

    Raises:
        InputError: If the file asks for anything but data, is cut off, or is no checkpoint. The message names the file
            and what it asked for. Nothing in the file has run.
    """
    return _refusing(file, lambda: torch.load(file, map_location=map_location, weights_only=True, mmap=mmap))


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint file; replaces mmengine's loader for paths.

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
    """Download a checkpoint and read it as data; replaces ``torch.hub.load_state_dict_from_url`` in mmengine.

    Args:
        url: Where it is.
        options: As for ``torch.hub.load_state_dict_from_url``.

    Raises:
        InputError: As ``load``, and if the download fails.
    """
    options['weights_only'] = True
    try:
        return _refusing(url, lambda: torch.hub.load_state_dict_from_url(url, **options))
    except OSError as error:
        raise InputError(
            f'checkpoint {url} cannot be downloaded: {error}. Download it elsewhere and set load_from or the '
            'checkpoint of init_cfg to the file, or to None to start from random weights'
        ) from error


def _refusing(source: Any, read: Callable[[], Any]) -> Any:
    """Read a checkpoint, and say in one line why it cannot be read.

    Raises:
        InputError: As ``load``.
    """
    name = getattr(source, 'name', source)
    if (kind := _kind(source)) in ARCHIVES.values():  # torch 2.4 opens TorchScript despite weights_only
        raise InputError(f'checkpoint {name!r} cannot be read: {kind}')
    try:
        content = read()
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        asked = re.search(r'GLOBAL (\S+)', str(error)) or re.search(r'REDUCE.* (\S+)', str(error))
        if not asked:
            reason = kind or next(iter(str(error).splitlines()), type(error).__name__)
            raise InputError(f'checkpoint {name!r} cannot be read: {reason}') from error
        referenced = asked[1].removeprefix('builtins.')
        referenced = referenced if referenced.isprintable() else shown(referenced)
        raise InputError(
            f'checkpoint {name!r} is refused: it references {referenced}, which is not a tensor or plain data. '
            'Nothing was executed. '
            'If you trust its origin, first declare that with torch.serialization.add_safe_globals.'
        ) from None
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not isinstance(weights, Mapping):
        raise InputError(f'checkpoint {name!r} holds no weights by name, but a {type(weights).__name__}')
    return content


def _kind(source: Any) -> str:
    """What a file is that torch cannot read as a checkpoint; empty if that is not known."""
    path = Path(source if isinstance(source, str | Path) else str(getattr(source, 'name', '')))
    if not path.is_file():
        return ''
    with path.open('rb') as file:
        start = file.read(64)
    if not start:
        return 'the file is empty; copy it again'
    if start.startswith(ZIP_START):
        return _kind_of_archive(path)
    if start.startswith(PICKLE_START):
        return 'it is cut off, or a plain pickle; nothing was executed. A checkpoint is a file that torch.save wrote'
    kind = next((kind for begin, kind in KINDS.items() if start.startswith(begin)), 'another kind of file')
    return f'it is not a checkpoint; it is {kind}'


def _kind_of_archive(path: Path) -> str:
    """What a zip archive is that torch cannot read as a checkpoint; empty if torch.save may have written it."""
    try:
        with ZipFile(path) as archive:
            names = {name.rpartition('/')[2] for name in archive.namelist()}
    except (BadZipFile, OSError, ValueError):
        return 'the file is cut off; copy it again'
    if found := next((kind for name, kind in ARCHIVES.items() if name in names), ''):
        return found
    return '' if 'data.pkl' in names else 'it is not a checkpoint; it is another kind of zip archive'


def _safe_globals() -> list[Callable | tuple[Callable, str]]:
    """List what mmengine's checkpoints hold besides tensors: log histories, NumPy values, schedules."""
    rebuild = [
        _named(function, f'{package}.multiarray', function.__name__)
        for function in (multiarray._reconstruct, multiarray.scalar)
        for package in ('numpy.core', 'numpy._core')  # as numpy 1 and numpy 2 write it
    ]
    classes = [*FUNCTIONS, np.ndarray, *{type(np.dtype(code)) for code in NUMBER_TYPES}]
    return [
        *rebuild,
        *((cls, f'{cls.__module__}.{cls.__qualname__}') if NAMED_ENTRIES else cls for cls in classes),
        _named(_number_type, 'numpy', 'dtype'),
        _named(_function_of, 'builtins', 'getattr'),
        _codecs.encode,  # the bytes of a NumPy number; torch allows it itself from 2.5 on
    ]


def _number_type(*args: Any) -> np.dtype:
    """Replace ``numpy.dtype`` in a checkpoint, for numbers alone: objects are refused, also as fields."""
    dtype = np.dtype(*args)
    if dtype.char not in NUMBER_TYPES:
        raise UnpicklingError(f'Unsupported global: GLOBAL numpy.dtype({dtype.name})')
    return dtype


def _function_of(owner: Any, name: str) -> Any:
    """Replace ``getattr`` in a checkpoint, for the functions that mmengine pickles and no others."""
    if not isinstance(owner, type) or name not in FUNCTIONS.get(owner, ()):
        raise UnpicklingError(f'Unsupported global: GLOBAL {getattr(owner, "__name__", owner)}.{name}')
    return getattr(owner, name)


def _named(function: Callable, module: str, name: str) -> Callable:
    """Wrap a function under the name that checkpoints ask for."""

    def wrapped(*args: Any) -> Any:
        return function(*args)

    wrapped.__module__, wrapped.__name__, wrapped.__qualname__ = module, name, name
    return wrapped


_SAFE_GLOBALS = _safe_globals()  # made once, so that declaring them again adds nothing
