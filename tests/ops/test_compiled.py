"""Our ops, called through mmcv's wrappers, against stored results of the compiled ops (ops_equality.py --save)."""

import numpy as np
import pytest
import torch

from benchmarks.ops_equality import GOLDEN, LIMIT, cases, deviation, ops_from
from mmdet_kpheads.compat import mmcv_ext

STORED = np.load(GOLDEN)


@pytest.mark.parametrize('case', cases(), ids=lambda c: f'{c.op}, {c.setting}')
def test_equals_compiled_op(case):
    with ops_from(mmcv_ext.fallback_ops()):
        found = case.run(1)
    for name, ours in found.items():
        theirs = torch.from_numpy(STORED[f'{case.op}|{case.setting}|{name}'])
        assert deviation(ours, theirs) <= LIMIT, name


def test_every_stored_result_is_tested():
    assert {key.rsplit('|', 1)[0] for key in STORED} == {f'{c.op}|{c.setting}' for c in cases()}


def test_deviation():
    one = torch.tensor([1.0, 2.0])
    assert deviation(one, one) == 0
    assert deviation(torch.tensor([1.0, 2.2]), one) == pytest.approx(0.1)
    assert deviation(one, torch.ones(1)) == torch.inf
    assert deviation(one.long(), one.long() + 1) == torch.inf
    assert deviation(one * torch.nan, one) == torch.inf
