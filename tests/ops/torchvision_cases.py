"""torchvision's kernels on a CPU, on the inputs of compiled mmcv and on hostile ones.

test_torchvision_kernels.py runs it in a process of its own, since a kernel that reads foreign memory ends the process.
"""

import faulthandler
from functools import partial

import numpy as np
import pytest
import torch
from torch import inf, nan

from benchmarks.ops_equality import GOLDEN, LIMIT, Case, cases, deviation, ops_from
from mmdet_kpheads.compat import mmcv_ext
from mmdet_kpheads.ops import deform_conv2d, nms, roi_align, torchvision_kernels

faulthandler.enable()
STORED = np.load(GOLDEN)
BY_TORCHVISION = ('nms', 'batched_nms', 'deform_conv v1', 'deform_conv v2', 'roi_align avg')
FAR = (1e30, -1e30, 3e9, -3e9, 1e4, -1e4, inf, -inf, nan)
COORDINATES = (0.0, 3.5, 4.0, -1.0, *FAR)


@pytest.fixture(params=['torchvision', 'plain'])
def backend(request, monkeypatch):
    used_on = ('cpu',) if request.param == 'torchvision' else ()
    for op in torchvision_kernels.USED_ON:
        monkeypatch.setitem(torchvision_kernels.USED_ON, op, used_on)
    return request.param


@pytest.fixture
def both(monkeypatch):
    """Calls a function with each backend and gives both results."""

    def call(function):
        results = []
        for used_on in (('cpu',), ()):
            for op in torchvision_kernels.USED_ON:
                monkeypatch.setitem(torchvision_kernels.USED_ON, op, used_on)
            results.append(function())
        return results

    return call


def test_torchvision_is_here():
    assert torchvision_kernels.torchvision_ops('cpu') is not None


@pytest.mark.parametrize(
    'case', [case for case in cases() if case.op in BY_TORCHVISION], ids=lambda c: f'{c.op}, {c.setting}'
)
def test_equals_compiled_mmcv(case: Case, backend):
    with ops_from(mmcv_ext.fallback_ops()):
        found = case.run(1)
    for name, ours in found.items():
        stored = torch.from_numpy(STORED[f'{case.op}|{case.setting}|{name}'])
        assert deviation(ours, stored) <= LIMIT, name


def convolve(x, offset, weight, **options):
    x, offset, weight = (t.clone().requires_grad_() for t in (x, offset, weight))
    out = deform_conv2d(x, offset, weight, **options)
    return out.detach(), *torch.autograd.grad(out.sum(), (x, offset, weight))


@pytest.mark.parametrize('far', FAR)
@pytest.mark.parametrize('where', ['everywhere', 'one sample', 'y alone'])
def test_hostile_offsets(both, far, where):
    torch.manual_seed(0)
    x, weight, offset = torch.randn(2, 4, 5, 6), torch.randn(4, 4, 3, 3), torch.randn(2, 18, 5, 6)
    if where == 'everywhere':
        offset.fill_(far)
    elif where == 'one sample':
        offset[1, 4:6, 2, 3] = far
    else:
        offset[:, ::2] = far
    theirs, ours = both(lambda: convolve(x, offset, weight, padding=1))
    for one, other in zip(theirs, ours, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    if where == 'everywhere':
        assert theirs[0].abs().max() == 0
        assert theirs[2].abs().max() == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_convolution_in_other_types(both, dtype):
    x, weight = torch.randn(2, 4, 5, 6).to(dtype), torch.randn(4, 4, 3, 3).to(dtype)
    offset = (torch.randn(2, 18, 5, 6) * 3).to(dtype)
    theirs, ours = both(lambda: convolve(x, offset, weight, padding=1))
    for one, other in zip(theirs, ours, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-1 if dtype != torch.float64 else 1e-6)


def test_convolution_of_no_images(both):
    x, weight, offset = torch.zeros(0, 4, 5, 6), torch.randn(4, 4, 3, 3), torch.zeros(0, 18, 5, 6)
    for out in both(lambda: deform_conv2d(x, offset, weight, padding=1)):
        assert out.shape == (0, 4, 5, 6)


def test_convolution_of_a_map_without_cells(backend):
    with pytest.raises(ValueError, match='too small for the kernel'):
        deform_conv2d(torch.zeros(1, 4, 0, 6), torch.zeros(1, 2, 2, 8), torch.zeros(4, 4, 1, 1), padding=1)


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('coordinate', COORDINATES)
def test_hostile_boxes_to_pool(both, coordinate, aligned, ratio):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5)
    rois = torch.tensor([[1.0, 0, 0, 3, 3]] * 5 + [[0.0, *[coordinate] * 4], [1.0, 1, 1, 4, 3]])
    for row in range(4):
        rois[row, 1 + row] = coordinate

    def pool():
        leaf = x.clone().requires_grad_()
        out = roi_align(leaf, rois, (2, 2), 0.5, ratio, 'avg', aligned)
        return out.detach(), torch.autograd.grad(out.sum(), leaf)[0]

    for one, other in zip(*both(pool), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_pooling_no_boxes_no_images_and_no_cells(both):
    for shape, boxes in (((2, 3, 4, 5), 0), ((0, 3, 4, 5), 0), ((1, 3, 0, 5), 1), ((1, 3, 4, 0), 1)):
        for out in both(partial(roi_align, torch.ones(shape), torch.zeros(boxes, 5), (2, 2))):
            assert out.shape == (boxes, 3, 2, 2)
            assert not out.any()


@pytest.mark.parametrize('image', [2.0, -1.0, 1e30, inf, nan])
def test_pooling_in_an_image_that_is_not_there(backend, image):
    with pytest.raises(ValueError, match=r'image index must be in \[0, 2\), got'):
        roi_align(torch.ones(2, 1, 4, 4), torch.tensor([[0.0, 1, 1, 2, 2], [image, 1, 1, 2, 2]]), (2, 2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_pooling_in_other_types(both, dtype):
    x, rois = torch.randn(2, 3, 8, 8).to(dtype), torch.tensor([[0.0, 1, 1, 7, 6], [1, 0, 3, 5, 8]]).to(dtype)
    theirs, ours = both(lambda: roi_align(x, rois, (3, 2)))
    assert theirs.dtype == dtype
    torch.testing.assert_close(theirs, ours, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('coordinate', COORDINATES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.float64])
def test_hostile_boxes_to_suppress(both, coordinate, dtype):
    boxes = torch.tensor([[0.0, 0, 4, 4]] * 5 + [[coordinate] * 4, [1.0, 1, 5, 5], [4.0, 4, 0, 0]])
    for row in range(4):
        boxes[row, row] = coordinate
    boxes = boxes.to(dtype)
    scores = torch.tensor([0.5, 0.9, 0.9, 0.1, nan, inf, -inf, 0.2]).to(dtype)
    theirs, ours = both(lambda: nms(boxes, scores, 0.5))
    assert theirs.tolist() == ours.tolist()


def test_suppressing_nothing(both):
    for kept in both(lambda: nms(torch.zeros(0, 4), torch.zeros(0), 0.5)):
        assert kept.shape == (0,)


@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.6, 0.8])
def test_an_overlap_equal_to_the_threshold_stays(both, threshold):
    """Of integer boxes, whose overlaps are often such numbers."""
    torch.manual_seed(0)
    kept = torch.tensor([[0.0, 0, 100, 1], [0.0, 0, 100 * threshold, 1]])
    theirs, ours = both(lambda: nms(kept, torch.tensor([0.9, 0.8]), threshold))
    assert theirs.tolist() == ours.tolist() == [0, 1]
    for _ in range(50):
        corner = torch.randint(10, (40, 2))
        boxes, scores = torch.cat([corner, corner + torch.randint(1, 10, (40, 2))], 1).float(), torch.rand(40)
        theirs, ours = both(partial(nms, boxes, scores, threshold))
        assert theirs.tolist() == ours.tolist()


def test_suppressing_many_boxes(both):
    torch.manual_seed(0)
    corner = torch.rand(3000, 2) * 400
    boxes, scores = torch.cat([corner, corner + torch.rand(3000, 2) * 60], 1), (torch.rand(3000) * 50).round()
    theirs, ours = both(lambda: nms(boxes, scores, 0.5))
    assert torch.equal(theirs, ours)
