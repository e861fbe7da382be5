"""Resolve ``_base_ = ['mmdet_kpheads::centernet/x.py']`` to our configs, from a wheel or a checkout.

mmengine 0.10.7 resolves such a base with ``pkg_resources``, which setuptools 82 removed, and every mmengine requires a
model index next to the configs. Once installed, a base ``package::path`` is ``<package>/.mim/configs/<path>`` if that
file exists, or ``configs/<path>`` of our checkout. Everything else is left to mmengine.
"""

import difflib
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from ..errors import InputError

SUFFIXES = ('.py', '.json', '.yaml', '.yml')  # of mmengine's configs
PACKAGE_ROOT = Path(__file__).parents[1]
_mmengine_get_cfg_path = Config._get_cfg_path


def install() -> None:
    """Make mmengine's configs resolve bases this way."""
    Config._get_cfg_path = staticmethod(get_cfg_path)


def configs_root() -> Path:
    """Find the folder of our configs: in the wheel, or in the checkout of the package."""
    packed = PACKAGE_ROOT / '.mim' / 'configs'
    return packed if packed.is_dir() else PACKAGE_ROOT.parent / 'configs'


def find_config(name: str | Path) -> Path:
    """Find a config by its path, or by its name among the configs of the package.

    Args:
        name: A path, or ``centernet/x``, ``centernet/x.py`` or ``mmdet_kpheads::centernet/x.py``.

    Raises:
        InputError: If there is none. The message names similar ones.
    """
    path = Path(name)
    if path.is_file() and path.suffix not in SUFFIXES:
        raise InputError(f'config {name} must end in {", ".join(SUFFIXES)}')
    if path.is_file():
        return path
    root = configs_root()
    relative = str(name).removeprefix('mmdet_kpheads::').removeprefix('configs/')
    for file in (root / relative, root / f'{relative}.py'):
        if file.is_file():
            return file
    known = {str(path.relative_to(root)): path.name for path in root.rglob('*.py') if '_base_' not in path.parts}
    near = difflib.get_close_matches(Path(name).name, known.values(), n=3)
    hint = [path for path, file in known.items() if file in near] or [path for path in sorted(known) if 'demo' in path]
    found = f'config {name} is a folder' if path.is_dir() else f'config not found: {name}, neither here nor in {root}'
    raise InputError(f'{found}; is it one of {", ".join(hint)}?')


def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
    """Find the file of a base config.

    Args:
        cfg_path: The base as it is written.
        filename: The config file that names it.

    Returns:
        Path, and the scope in which types of the base are looked up: the package, but None for our configs, which set
        ``default_scope = 'mmdet'`` and scope their types themselves.

    Raises:
        FileNotFoundError: If we have no such config.
    """
    package, _, path = cfg_path.partition('::')
    if package == PACKAGE_ROOT.name and path:
        ours = configs_root() / path
        if not ours.is_file():
            raise FileNotFoundError(f'{cfg_path} in {filename}: there is no {ours}')
        return str(ours), None
    spec = find_spec(package) if path and package.isidentifier() else None
    if path and not spec:
        raise FileNotFoundError(f'{cfg_path} in {filename}: there is no package {package}')
    if spec and spec.origin and (packed := Path(spec.origin).parent / '.mim' / 'configs').is_dir():
        if not (packed / path).is_file():
            raise FileNotFoundError(f'{cfg_path} in {filename}: there is no {packed / path}')
        return str(packed / path), package
    return _mmengine_get_cfg_path(cfg_path, filename)
