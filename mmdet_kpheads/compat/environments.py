"""The environments that the tests run in, the rows of ``make matrix``, and how the installed one compares with them.

Uses the standard library alone: noxfile.py runs this file without the package.
"""

import platform
import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

Release = tuple[int, ...]


class Environment(NamedTuple):
    """What a row of the matrix installs."""

    name: str
    python: str
    torch: str
    torchvision: str | None
    stack: str  # an extra of pyproject.toml
    numpy: str  # a version or its beginning
    others: tuple[str, ...] = ()  # more requirements: the lower bounds of pyproject.toml, in the oldest row
    system: str = 'Linux x86_64'
    mmcv_ops: str = 'fallback'  # or 'compiled'


ROWS = (
    Environment(
        'oldest', '3.10', '2.4.1', '0.19.1', 'openmmlab', '1.26.4', ('scikit-learn==1.4.2', 'jsonschema==4.20.0')
    ),
    Environment('middle-openmmlab', '3.12', '2.9.1', '0.24.1', 'openmmlab', '2'),
    Environment('middle-onedl', '3.12', '2.9.1', '0.24.1', 'onedl', '2'),
    Environment('current', '3.11', '2.13.0', None, 'onedl', '2'),
    Environment('newest', '3.13', '2.14.1', '0.29.1', 'onedl', '2'),
)
STACKS = {  # as pyproject.toml pins them
    'onedl': {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'},
    'openmmlab': {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0'},
}
OTHER_STACK = 'another mix'
UNKNOWN = 'unknown'  # installed without metadata


def installed() -> Environment:
    """Describe this environment."""
    stack = [name for name, pins in STACKS.items() if all(_version(dist) == pin for dist, pin in pins.items())]
    torchvision, numpy, torch = (_version(dist) for dist in ('torchvision', 'numpy', 'torch'))
    return Environment(
        'installed',
        '.'.join(platform.python_version().split('.')[:2]),
        torch or UNKNOWN,
        torchvision,
        stack[0] if stack else OTHER_STACK,
        numpy or UNKNOWN,
        system=f'{platform.system()} {platform.machine()}',
        mmcv_ops='compiled' if _has_compiled_ops() else 'fallback',
    )


def differences(here: Environment, row: Environment) -> list[str]:
    """List what another environment has differently, as ``'torch 2.6.0 (row: 2.4.1)'``."""
    found = []
    for field in ('python', 'torch', 'torchvision', 'stack', 'numpy', 'system', 'mmcv_ops'):
        ours, theirs = getattr(here, field), getattr(row, field)
        if ours != theirs and not (field == 'numpy' and str(ours).startswith(f'{theirs}.')):
            found.append(f'{field.replace("_", " ")} {ours or "none"} (row: {theirs or "none"})')
    return found


def nearest(here: Environment) -> Environment:
    """Find the row that differs least: in the stack first, then by torch, Python and torchvision."""

    def distance(row: Environment) -> tuple:
        torch, python = (abs(_minor(getattr(here, f)) - _minor(getattr(row, f))) for f in ('torch', 'python'))
        return row.stack != here.stack, torch, python, bool(row.torchvision) != bool(here.torchvision)

    return min(ROWS, key=distance)


def verdict(here: Environment) -> str:
    """Say in one sentence whether an environment is tested.

    Returns:
        ``'tested: ...'`` or ``'untested: expected to work; ...'``, with the nearest row.
    """
    row = nearest(here)
    if other := differences(here, row):
        return f'untested: expected to work; nearest is the row {row.name!r}, but here is {", ".join(other)}'
    return f'tested: it is the row {row.name!r} of the matrix, which runs on a CPU'


def problems(here: Environment) -> list[str]:
    """List what is older than any row: a sentence each, with its cure."""
    found = []
    for field in ('torch', 'numpy'):
        version, oldest = getattr(here, field), min((getattr(row, field) for row in ROWS), key=release)
        if version != UNKNOWN and release(version) < release(oldest):
            found.append(f'{field} {version} is older than {oldest}: pip install "{field}>={oldest}"')
    return found


def release(version: str) -> Release:
    """Parse the release numbers: ``'2.1.0rc1'`` is (2, 1, 0)."""
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])


def _minor(version: str) -> int:
    """The second number of a version, which is all that differs between the rows: Python 3.x, torch 2.x."""
    return (*release(version), 0, 0)[1]


def _version(distribution: str) -> str | None:
    """The release of an installed distribution without its local part (``+cpu``), or None."""
    try:
        return (metadata.version(distribution) or '').split('+')[0] or None  # None: metadata without a version
    except metadata.PackageNotFoundError:
        return None


def _has_compiled_ops() -> bool:
    spec = find_spec('mmcv')
    return bool(spec and spec.origin and any(Path(spec.origin).parent.glob('_ext.*')))
