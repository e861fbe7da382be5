"""Importing this module puts our heads in the place of mmdet's, so that configs of mmdet run with them as they are.

In a config: ``custom_imports = dict(imports=['mmdet_kpheads.drop_in'])``; or ``--drop-in`` of our tools. Nothing else
of the package imports it: without it mmdet is untouched.
"""

from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import print_log

from .heads import AutoAssignHead, CenterNetHead, CornerNetHead

REPLACED = {'CenterNetHead': CenterNetHead, 'CornerHead': CornerNetHead, 'AutoAssignHead': AutoAssignHead}


def replace() -> None:
    """Register our heads in mmdet's registry under the names of mmdet's."""
    for name, head in REPLACED.items():
        MMDET_MODELS.register_module(name=name, module=head, force=True)
    print_log(f'drop-in: {", ".join(REPLACED)} of mmdet configs are now those of mmdet_kpheads', 'current')


replace()
