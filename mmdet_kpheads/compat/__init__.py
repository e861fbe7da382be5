"""The only rooms that know versions: the stack check, the stand-in for mmcv's compiled ops, checkpoint loading."""


def prepare() -> None:
    """Make ``import mmdet.models`` work; called once by ``mmdet_kpheads/__init__.py``."""
