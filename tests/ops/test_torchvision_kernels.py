import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch

from mmdet_kpheads.ops import deform_conv2d, nms, roi_align, torchvision_kernels
from tests.compat.processes import ROOT, call

CASES = 'tests/ops/torchvision_cases.py'


class Torchvision:
    """A stub of torchvision.ops that records its calls."""

    def __init__(self):
        self.calls = []

    def nms(self, boxes, scores, threshold):
        self.calls.append(('nms', boxes.dtype))
        return torch.zeros(1, dtype=torch.long)

    def deform_conv2d(self, x, offset, weight, bias, stride, padding, dilation, mask):
        self.calls.append(('deform_conv2d', x.dtype, offset.flatten().tolist(), stride, padding, dilation, mask))
        return torch.zeros(1, 1, 3, 3)

    def roi_align(self, x, rois, size, scale, ratio, aligned):
        self.calls.append(('roi_align', x.dtype, rois.tolist(), size, scale, ratio, aligned))
        return torch.zeros(1, 1, *size)


@pytest.fixture
def kernels(monkeypatch):
    """Replaces torchvision.ops with a stub."""
    package, ops = ModuleType('torchvision'), Torchvision()
    package.__dict__['ops'] = ops
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    torchvision_kernels.torchvision_ops.cache_clear()
    assert torchvision_kernels.torchvision_ops('cpu') is ops
    ops.calls.clear()  # the first call checks that the kernels run
    yield ops
    torchvision_kernels.torchvision_ops.cache_clear()


@pytest.fixture
def used_everywhere(monkeypatch):
    for op in torchvision_kernels.USED_ON:
        monkeypatch.setitem(torchvision_kernels.USED_ON, op, ('cpu', 'cuda'))


@pytest.mark.usefixtures('used_everywhere')
def test_torchvision_gets_full_precision_and_safe_locations(kernels):
    boxes, scores = torch.zeros(1, 4).half(), torch.zeros(1).half()
    x, weight = torch.zeros(1, 1, 1, 2).half(), torch.zeros(1, 1, 1, 1)
    offset = torch.tensor([0.5, torch.nan, 0.25, 0.25]).view(1, 2, 1, 2)  # (dy, dx) of cells 0 and 1
    nms(boxes, scores, 0.5)
    assert deform_conv2d(x, offset, weight).dtype == torch.float16
    roi_align(x, torch.tensor([[0, -torch.inf, 0, torch.inf, 1]]), (2, 2), 0.5, 0, 'avg', True)
    one, zero = (1, 1), (0, 0)
    assert kernels.calls == [
        ('nms', torch.float32),
        # cell 1 moves to (-2, -2), outside the map
        ('deform_conv2d', torch.float32, [0.5, -2.0, 0.25, -3.0], one, zero, one, None),
        # two cells wide: from -4 to 6 cells of 2 units each
        ('roi_align', torch.float32, [[0.0, -8.0, 0.0, 12.0, 1.0]], (2, 2), 0.5, 0, True),
    ]


def test_on_a_cpu_it_suppresses_and_nothing_else(kernels):
    """Its other kernels are slower there."""
    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    deform_conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 1, 1))
    roi_align(torch.zeros(1, 1, 3, 3), torch.zeros(1, 5), (2, 2))
    assert [name for name, *_ in kernels.calls] == ['nms']


@pytest.mark.usefixtures('used_everywhere')
def test_options_that_torchvision_lacks_use_plain_torch(kernels):
    nms(torch.zeros(1, 4), torch.zeros(1), 0.5, offset=1)
    roi_align(torch.zeros(1, 1, 3, 3), torch.zeros(1, 5), (2, 2), pool_mode='max')
    roi_align(torch.zeros(1, 1, 0, 3), torch.zeros(1, 5), (2, 2))
    assert kernels.calls == []


@pytest.mark.parametrize('error', [ImportError, RuntimeError, OSError, AttributeError, NotImplementedError])
def test_broken_torchvision_is_ignored(kernels, monkeypatch, error):
    def fail(*arguments):
        raise error('operator torchvision::nms does not exist')

    monkeypatch.setattr(kernels, 'nms', fail)
    torchvision_kernels.torchvision_ops.cache_clear()
    assert torchvision_kernels.torchvision_ops('cpu') is None
    assert nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5).tolist() == [0]


@pytest.mark.skipif(not find_spec('torchvision'), reason='torchvision is not installed')
def test_the_installed_torchvision_is_right_and_survives():
    """Compiled mmcv's numbers and hostile input, in a process of its own: a crash there names the case here."""
    seen = call('-m', 'pytest', '-p', 'no:xdist', '-x', CASES, cwd=ROOT)
    assert seen.returncode == 0, seen.stdout[-3000:] + seen.stderr[-3000:]
