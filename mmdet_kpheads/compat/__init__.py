"""The only folder that depends on versions: stack check, fallback for mmcv's ops, checkpoints, base configs.

``prepare`` runs on ``import mmdet_kpheads`` and changes nothing in mmengine. ``install`` changes mmengine and mmcv. The
commands and ``python -m mmdet_kpheads.run`` call it; other scripts call it themselves if they want it.
"""

from . import environments, lazy_imports, mmcv_ext, stack


def prepare() -> None:
    """Make ``import mmdet.models`` work, and ``torch.load`` of mmengine's checkpoints. Safe to repeat.

    Provides ``mmcv._ext`` if it cannot be imported. Imports mmdet, but not yet the packages that few of its functions
    need. Declares the classes in mmengine's checkpoints as safe.

    Raises:
        ImportError: If mmengine, mmcv or mmdet is missing or does not fit; the message lists problems and cure.
    """
    with lazy_imports.deferred():
        found = problems()
    if found:
        raise ImportError(stack.explain(found))
    from . import checkpoint_loading  # imports mmengine

    checkpoint_loading.declare_safe_globals()


def install() -> None:
    """Change four things in mmengine and one in mmcv for the rest of the process. Safe to repeat.

    - Checkpoints are always read as data (``weights_only=True``). A file that asks for more raises ``InputError``.
    - Files are written whole or not at all, and old checkpoints are deleted after the new one is complete.
    - Configs find bases of this package, ``_base_ = 'mmdet_kpheads::...'``, and ``mmdet::...`` without
      ``pkg_resources``.
    - Distributed processes on a machine without a GPU use the gloo backend.
    - An image that cannot be loaded is an ``InputError`` with its path.

    Raises:
        ImportError: As ``prepare``.

    Example:
        >>> from mmdet_kpheads import compat
        >>> compat.install()  # doctest: +SKIP
        >>> cfg = Config.fromfile('my_config.py')  # doctest: +SKIP
    """
    prepare()
    # they import mmengine
    from . import checkpoint_loading, checkpoint_saving, config_bases, cpu_processes, image_loading

    for module in (checkpoint_loading, checkpoint_saving, config_bases, cpu_processes, image_loading):
        module.install()


def problems() -> list[str]:
    """List what keeps the package from working.

    If nothing does, ``mmcv.ops`` and ``mmdet.models`` are imported afterwards.
    """
    if found := [*environments.problems(environments.installed()), *stack.problems()]:
        return found
    mmcv_ext.provide()
    return stack.import_problems('mmdet.models')


def register(init_default_scope: bool = True) -> None:
    """Register mmdet's modules and make mmdet the default scope, so that mmdet's configs build in a notebook.

    Args:
        init_default_scope: False to register the modules alone.
    """
    from mmdet.utils import register_all_modules

    with lazy_imports.deferred():
        register_all_modules(init_default_scope)
