"""Importing this module replaces mmdet's heads with ours, so that unmodified mmdet configs use them.

In a config: ``custom_imports = dict(imports=['mmdet_kpheads.drop_in'])``. On the command line: ``--drop-in``. Nothing
else in the package imports this module, so mmdet stays as it is without it.
"""

from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import print_log

from .heads import AutoAssignHead, CenterNetHead, CornerNetHead

REPLACED = {'CenterNetHead': CenterNetHead, 'CornerHead': CornerNetHead, 'AutoAssignHead': AutoAssignHead}


def replace() -> None:
    """Register our heads in mmdet's registry under the names of mmdet's heads."""
    for name, head in REPLACED.items():
        MMDET_MODELS.register_module(name=name, module=head, force=True)
    print_log(f'drop-in: {", ".join(REPLACED)} in mmdet configs are now the heads of mmdet_kpheads', 'current')


replace()
