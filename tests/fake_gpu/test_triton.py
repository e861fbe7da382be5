"""Passes of Inductor and own kernels, compiled for an A100 and an H100: kernels, loads, stores, memory kept, spills."""

import json
from importlib.util import find_spec

import pytest
import torch
from torch.torch_version import TorchVersion

from tests.compat.processes import ROOT, call

pytestmark = [
    pytest.mark.skipif(not find_spec('triton'), reason='Triton is not installed'),
    pytest.mark.skipif(
        TorchVersion(torch.__version__) < '2.14', reason='reads the internals of Inductor of torch 2.14'
    ),
]

# (pass, direction): kernels, loads and stores of the heaviest one, MB that the graph makes (the map is 84 and 46 MB)
BOUNDS = {
    ('heat map', 'forward'): (2, 2, 1, 0),  # logits and target; partial sums
    ('heat map', 'backward'): (1, 4, 1, 84),  # the two maps and two numbers; the gradient
    ('AutoAssign', 'forward'): (3, 2, 3, 23),  # logits, objectness; a map of half precision's size is kept
    ('AutoAssign', 'backward'): (1, 6, 2, 47),
}
OWN = ['_loss_kernel', '_slope_kernel', '_soft_nms_kernel', '_soft_nms_kernel']  # of 1,024 and of 4,096 boxes


@pytest.fixture(scope='module', params=[80, 90], ids=lambda arch: f'sm_{arch}')
def compiled(request):
    seen = call('-m', 'tests.fake_gpu.triton_code', request.param, cwd=ROOT)
    assert seen.returncode == 0, seen.stderr[-3000:]
    return json.loads(seen.stdout)


@pytest.mark.parametrize(('name', 'direction'), BOUNDS)
def test_a_pass_is_few_kernels_without_spills(compiled, name, direction):
    number, loads, stores, made_mb = BOUNDS[name, direction]
    kernels = compiled[name][direction]['kernels']
    assert 0 < len(kernels) <= number
    assert max(kernel['loads'] for kernel in kernels) <= loads
    assert max(kernel['stores'] for kernel in kernels) <= stores
    assert [kernel['spilled_bytes'] for kernel in kernels] == [0] * len(kernels)
    assert compiled[name][direction]['made_mb'] <= made_mb


def test_own_kernels_compile_without_spills(compiled):
    kernels = compiled['own']['all']['kernels']
    assert [(kernel['name'], kernel['spilled_bytes']) for kernel in kernels] == [(name, 0) for name in OWN]


def test_there_is_no_other_pass(compiled):
    found = {(name, direction) for name, directions in compiled.items() for direction in directions}
    assert found == {*BOUNDS, ('own', 'all')}
