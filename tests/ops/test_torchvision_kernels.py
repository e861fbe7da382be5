import sys
from types import ModuleType

import pytest
import torch

from mmdet_kpheads.ops import deform_conv2d, nms, roi_align, torchvision_kernels


class Torchvision:
    """A stub of torchvision.ops that records its calls."""

    def __init__(self):
        self.calls = []

    def nms(self, boxes, scores, threshold):
        self.calls.append(('nms', boxes.dtype))
        return torch.zeros(1, dtype=torch.long)

    def deform_conv2d(self, x, offset, weight, bias, stride, padding, dilation, mask):
        self.calls.append(('deform_conv2d', x.dtype, stride, padding, dilation, mask))
        return torch.zeros(1, 1, 3, 3)

    def roi_align(self, x, rois, size, scale, ratio, aligned):
        self.calls.append(('roi_align', x.dtype, size, scale, ratio, aligned))
        return torch.zeros(1, 1, *size)


@pytest.fixture
def kernels(monkeypatch):
    """Replaces torchvision.ops with a stub."""
    package, ops = ModuleType('torchvision'), Torchvision()
    package.__dict__['ops'] = ops
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    torchvision_kernels.torchvision_ops.cache_clear()
    yield ops
    torchvision_kernels.torchvision_ops.cache_clear()


def test_torchvision_is_used_where_its_results_agree(kernels):
    boxes, scores = torch.zeros(1, 4).half(), torch.zeros(1).half()
    x, offset, weight = torch.zeros(1, 1, 3, 3).half(), torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 1, 1)
    rois = torch.zeros(1, 5)
    nms(boxes, scores, 0.5)
    assert deform_conv2d(x, offset, weight).dtype == torch.float16
    roi_align(x, rois, (2, 2), 0.5, 0, 'avg', True)
    one, zero = (1, 1), (0, 0)
    assert kernels.calls[1:] == [  # the first call checks that the kernels run
        ('nms', torch.float32),
        ('deform_conv2d', torch.float32, one, zero, one, None),
        ('roi_align', torch.float32, (2, 2), 0.5, 0, True),
    ]


def test_options_that_torchvision_lacks_use_plain_torch(kernels):
    nms(torch.zeros(1, 4), torch.zeros(1), 0.5, offset=1)
    roi_align(torch.zeros(1, 1, 3, 3), torch.zeros(1, 5), (2, 2), pool_mode='max')
    assert kernels.calls == []


@pytest.mark.parametrize('error', [ImportError, RuntimeError, OSError, AttributeError, NotImplementedError])
def test_broken_torchvision_is_ignored(kernels, monkeypatch, error):
    def fail(*arguments):
        raise error('operator torchvision::nms does not exist')

    monkeypatch.setattr(kernels, 'nms', fail)
    assert torchvision_kernels.torchvision_ops('cpu') is None
    assert nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5).tolist() == [0]


def test_installed_torchvision_agrees(monkeypatch):
    pytest.importorskip('torchvision')
    if torchvision_kernels.torchvision_ops('cpu') is None:
        pytest.skip('torchvision does not match this torch')
    x, weight = torch.randn(2, 4, 6, 5), torch.randn(4, 2, 3, 3)
    offset, mask = torch.randn(2, 36, 6, 5), torch.rand(2, 18, 6, 5)
    corner = torch.rand(30, 2) * 20
    boxes = torch.cat([corner, corner + torch.rand(30, 2) * 20], 1)
    scores, rois = torch.rand(30), torch.cat([torch.arange(30.0)[:, None] % 2, boxes], 1)

    def results():
        convolved = deform_conv2d(x, offset, weight, mask, padding=1)
        return nms(boxes, scores, 0.3), convolved, roi_align(x, rois, (3, 2), 0.2)

    theirs = results()
    for module in ('nms', 'deform_conv', 'roi_align'):
        monkeypatch.setattr(sys.modules[f'mmdet_kpheads.ops.{module}'], 'torchvision_ops', lambda device: None)
    for ours, expected in zip(results(), theirs, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
