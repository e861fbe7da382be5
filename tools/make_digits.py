"""Works from any directory; the logic is in mmdet_kpheads/cli/make_digits.py."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec('mmdet_kpheads') is None:  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable)
from mmdet_kpheads.cli import arguments, make_digits

if __name__ == '__main__':
    arguments.run(make_digits.main)
