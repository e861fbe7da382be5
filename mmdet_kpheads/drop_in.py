"""Importing this module replaces mmdet's heads with ours, so that unmodified mmdet configs use them.

In a config: ``custom_imports = dict(imports=['mmdet_kpheads.drop_in'])``. On the command line: ``--drop-in``. Nothing
else in the package imports this module, so mmdet stays as it is without it.
"""

from typing import Any

from mmdet.models import dense_heads
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import print_log

from .heads import AutoAssignHead, CenterNetHead, CornerNetHead

REPLACED = {'CenterNetHead': CenterNetHead, 'CornerHead': CornerNetHead, 'AutoAssignHead': AutoAssignHead}
_BY_CLASS = {getattr(dense_heads, name): head for name, head in REPLACED.items()}
_build_of_mmdet = MMDET_MODELS.build_func


def replace() -> None:
    """Give mmdet's registry our heads for the names and for the classes of mmdet's heads."""
    for name, head in REPLACED.items():
        MMDET_MODELS.register_module(name=name, module=head, force=True)
    MMDET_MODELS.build_func = build
    print_log(f'drop-in: {", ".join(REPLACED)} in mmdet configs are now the heads of mmdet_kpheads', 'current')


def build(cfg: Any, *args: Any, **kwargs: Any) -> Any:
    """Build as mmdet's registry does, but our head where a config in Python style has the class of mmdet's."""
    kind = cfg.get('type') if isinstance(cfg, dict) else None
    if isinstance(kind, type) and kind in _BY_CLASS:
        cfg = cfg.copy()
        cfg['type'] = _BY_CLASS[kind]
    return _build_of_mmdet(cfg, *args, **kwargs)


replace()
