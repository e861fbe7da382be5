"""Is there an OpenMMLab stack, and do its parts fit one another? Problems are sentences with their cure."""

import importlib
import re
from importlib import metadata

INSTALL = 'pip install "mmdet-kpheads[onedl]"'
CURE = (
    f'Install the maintained stack with\n    {INSTALL}\n'
    'which is\n    pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmdetection==3.5.1\n'
    'or the original one with\n    pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmdet==3.3.0\n'
    '`python -m mmdet_kpheads.doctor` shows what is installed.'
)
# Import name: lowest version that this package is tested with, first one it does not expect to work.
VERSIONS = {'mmengine': ('0.10.7', '1'), 'mmcv': ('2.0.0', '3'), 'mmdet': ('3.3.0', '4')}
DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
}


def check() -> None:
    """Stop with one readable message unless mmengine, mmcv and mmdet import and fit.

    Raises:
        ImportError: With every problem and the pip lines that cure it.
    """
    if found := problems():
        raise ImportError('mmdet_kpheads cannot be used:\n' + '\n'.join(f'- {p}' for p in found) + f'\n{CURE}')


def problems() -> list[str]:
    """List what keeps the package from working; empty when nothing does."""
    return [problem for module in VERSIONS if (problem := _problem(module))]


def overlaid() -> list[str]:
    """List the import names that several installed distributions wrote their files into."""
    found = {module: installed(module) for module in VERSIONS}
    return [
        f'{module} comes from {" and ".join(names)}, whose files overwrite each other: '
        f'pip uninstall -y {" ".join(name.split("==")[0] for name in names)}, then install one of them'
        for module, names in found.items()
        if len(names) > 1
    ]


def installed(module: str) -> list[str]:
    """List the installed distributions that bring a module, as ``name==version``."""
    found = []
    for name in DISTRIBUTIONS[module]:
        try:
            found.append(f'{name}=={metadata.version(name)}')
        except metadata.PackageNotFoundError:
            continue
    return found


def _problem(module: str) -> str | None:
    low, high = VERSIONS[module]
    try:
        version = importlib.import_module(module).__version__
    except ModuleNotFoundError as error:
        return f'{module} is missing' if error.name == module else f'{module} needs {error.name}, which is missing'
    except (ImportError, AssertionError, AttributeError) as error:
        return f'{module} does not import: {error}'  # mmdet and mmcv check one another's versions with assert
    if not _parts(low) <= _parts(version) < _parts(high):
        return f'{module} {version} does not fit: needs >={low},<{high}'
    return None


def _parts(version: str) -> tuple[int, ...]:
    """Give the release numbers: '2.1.0rc1' is (2, 1, 0)."""
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])
