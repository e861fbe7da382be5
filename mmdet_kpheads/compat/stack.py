"""Check that mmengine, mmcv and mmdet are installed and fit each other. Problems are sentences, with their cure."""

import importlib
from importlib import metadata

from .environments import STACKS, release

PINS = {stack: ' '.join(f'{name}=={pin}' for name, pin in pins.items()) for stack, pins in STACKS.items()}
CURE = (
    f'Install the maintained stack with\n    pip install {PINS["onedl"]}\n'
    f'or the original one with\n    pip install {PINS["openmmlab"]}\n'
    '`mmdet-kpheads doctor` shows what is installed.'
)
# Import name: lowest version that is expected to work, first version that is not.
VERSIONS = {'mmengine': ('0.10.7', '1'), 'mmcv': ('2.0.0', '3'), 'mmdet': ('3.3.0', '4')}
DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}


def explain(found: list[str]) -> str:
    """Write problems as one message that ends with the cure."""
    return '\n'.join(['mmdet_kpheads cannot be used:', *(f'- {problem}' for problem in found), CURE])


def problems() -> list[str]:
    """List what is wrong with the three packages; empty if they import and fit."""
    return [problem for module, limits in VERSIONS.items() for problem in _version_problems(module, *limits)]


def import_problems(module: str) -> list[str]:
    """List why a module does not import: one sentence, or none if it does."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return [f'{module} is missing' if error.name == module else f'{module} needs {error.name}, which is missing']
    except (ImportError, AssertionError) as error:  # mmdet and mmcv check each other's versions with assert
        return [f'{module} does not import: {error}']
    except Exception as error:  # a broken installation can fail in any way
        return [f'{module} does not import: {type(error).__name__}: {error}']
    return []


def overlaid() -> list[str]:
    """List the import names whose files come from several installed distributions."""
    found = {module: installed(module) for module in VERSIONS}
    return [
        f'{module} comes from {" and ".join(names)}, whose files overwrite each other: '
        f'pip uninstall -y {" ".join(name.split("==")[0] for name in names)}, then install one of them'
        for module, names in found.items()
        if len(names) > 1
    ]


def installed(module: str) -> list[str]:
    """List the installed distributions of a module, as ``name==version``."""
    found = []
    for name in DISTRIBUTIONS[module]:
        try:
            found.append(f'{name}=={metadata.version(name)}')
        except metadata.PackageNotFoundError:
            continue
    return found


def _version_problems(module: str, low: str, high: str) -> list[str]:
    if found := import_problems(module):
        return found
    version = getattr(importlib.import_module(module), '__version__', None)
    if version is None:
        return [f'{module} has no __version__: its installation is incomplete']
    if not release(low) <= release(version) < release(high):
        return [f'{module} {version} does not fit: needs >={low},<{high}']
    return []
