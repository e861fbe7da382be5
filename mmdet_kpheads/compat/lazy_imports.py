"""Packages that mmdet imports for functions which few programs call, imported when such a function is called.

mmdet imports Matplotlib, SciPy, scikit-learn and others with its models and transforms, which is a third of its import
time. It uses them to draw, to track objects, to detect lanes and in a few heads. The rest of its imports is faster
while no garbage is collected, and without the TorchScript versions of eight optimizers, which torch compiles as soon as
mmengine imports its ``ZeroRedundancyOptimizer``.
"""

import builtins
import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from sys import modules
from types import SimpleNamespace
from typing import Any

from torch.jit import _state as torchscript

# mmdet calls what it imports from these, inside functions: nothing is a base class or an argument of isinstance.
PACKAGES = ('albumentations', 'imagecorruptions', 'imgaug', 'matplotlib', 'scipy', 'seaborn', 'sklearn')
# mmengine names its errors. The import, and even a look whether it exists, imports all of setuptools.
UNCHECKED = ('distutils',)
DEFERRED = {'mmdet': PACKAGES, 'mmengine': UNCHECKED}


class Deferred:
    """A module, or a name in one, that is imported when it is called or one of its attributes is read."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import and call it."""
        return self._load()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._load(), name)


@contextmanager
def deferred() -> Iterator[None]:
    """Answer the imports of ``DEFERRED`` by ``Deferred``; meanwhile collect no garbage and compile no TorchScript.

    A package that is already imported is used, and one that is not installed raises ``ImportError`` as before. Imports
    in other modules do not change, and ``sys.modules`` never holds a ``Deferred``.
    """
    original, collects, scripts = builtins.__import__, gc.isenabled(), bool(torchscript._enabled)
    builtins.__import__ = functools.partial(_import_or_defer, original)
    gc.disable()
    torchscript.disable()
    try:
        yield
    finally:
        builtins.__import__ = original
        if collects:
            gc.enable()
        if scripts:
            torchscript.enable()


def _import_or_defer(
    original: Callable,
    name: str,
    globals: dict[str, Any] | None = None,
    locals: Any = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    package = name.partition('.')[0]
    importer = str((globals or {}).get('__name__')).partition('.')[0]
    deferrable = not level and package in DEFERRED.get(importer, ()) and package not in modules
    if not (deferrable and (package in UNCHECKED or find_spec(package))):
        return original(name, globals, locals, fromlist, level)
    if fromlist:  # from a.b import c
        return SimpleNamespace(**{item: Deferred(functools.partial(_item, name, item)) for item in fromlist})
    path, *rest = name.split('.')  # import a.b, import a.b as c
    top = module = Deferred(functools.partial(import_module, path))
    for part in rest:
        path = f'{path}.{part}'
        inner = Deferred(functools.partial(import_module, path))
        setattr(module, part, inner)
        module = inner
    return top


def _item(module: str, name: str) -> Any:
    """What ``from module import name`` binds."""
    return getattr(__import__(module, fromlist=[name]), name)
