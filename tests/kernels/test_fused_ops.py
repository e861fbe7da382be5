"""The operators that Triton runs: what does not need it, and the cases of ``in_interpreter.py`` in its interpreter."""

import re
from importlib.util import find_spec

import pytest
import torch

from mmdet_kpheads.functional.gaussian import Gaussians
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.kernels import fused_ops
from mmdet_kpheads.ops.soft_nms import METHODS, soft_nms_batch
from tests.compat.processes import ROOT, call
from tests.kernels import in_interpreter


@pytest.mark.skipif(not find_spec('triton'), reason='Triton is not installed')
def test_kernels_equal_the_formulas_in_the_interpreter(monkeypatch):
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    seen = call('-m', 'pytest', '-v', '-p', 'no:xdist', 'tests/kernels/in_interpreter.py', cwd=ROOT)
    assert seen.returncode == 0, seen.stdout[-3000:]
    assert re.search(r'= (\d+) passed', seen.stdout).group(1) == '64' and 'skipped' not in seen.stdout


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_kernels_equal_the_formulas_on_cuda(dtype):
    target = in_interpreter.gaussians()
    logits = (torch.randn(target.shape) * 8).to(dtype)
    on_cuda = target._replace(**{n: getattr(target, n).cuda() for n in ('cells', 'radius', 'labels', 'valid')})
    found = in_interpreter.value_and_gradient(fused_ops.gaussian_focal_sum, logits.cuda(), on_cuda)
    expected = in_interpreter.value_and_gradient(gaussian_focal_sum, logits, target)
    for value, right in zip(found, expected, strict=True):
        torch.testing.assert_close(value.cpu(), right, rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-5)
    for method in METHODS:
        arguments = in_interpreter.detections()
        scores, index = fused_ops.soft_nms_batch(*(value.cuda() for value in arguments), 12, method=method)
        expected_scores, expected_index = soft_nms_batch(*arguments, 12, method=method)
        taken = expected_scores > -torch.inf
        torch.testing.assert_close(scores.cpu(), expected_scores)
        assert torch.equal(index.cpu()[taken], expected_index[taken])


def test_a_kernel_that_does_not_launch_leaves_the_formulas(monkeypatch):
    """As without a C compiler; said in one line."""

    def broken(*_):
        raise RuntimeError('Failed to find C compiler.\nPlease specify one')

    lines = []
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (9, 0))
    monkeypatch.setattr(fused_ops, 'print_log', lambda text, *_: lines.append(text))
    launches = fused_ops._launches.__wrapped__
    monkeypatch.setattr(fused_ops, 'soft_nms', lambda *_: None)
    assert launches(torch.device('cpu')) and not lines
    monkeypatch.setattr(fused_ops, 'soft_nms', broken)
    assert not launches(torch.device('cpu'))
    (line,) = lines
    assert line.startswith('Triton does not run') and line.endswith('Failed to find C compiler. Please specify one')
    monkeypatch.setenv('TORCH_COMPILE_DISABLE', '1')
    assert not launches(torch.device('cpu')) and len(lines) == 1
    monkeypatch.delenv('TORCH_COMPILE_DISABLE')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (6, 1))
    assert not launches(torch.device('cpu'))


def test_boxes_in_the_order_of_their_planes():
    """Two images, three classes: planes 0 to 5. The last box of the first image is not valid."""
    cells = torch.tensor([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]]])
    labels = torch.tensor([[2, 0, 1], [1, 1, 0]])
    valid = torch.tensor([[True, True, False], [True, True, True]])
    gaussians = Gaussians((2, 3, 20, 20), cells, torch.arange(6).view(2, 3), labels, valid, 5)
    first, boxes = fused_ops.boxes_by_plane(gaussians)
    assert first.tolist() == [0, 1, 1, 2, 3, 5, 5]  # class 1 of image 0 is empty, class 1 of image 1 has two
    assert boxes[:5].tolist() == [[3, 4, 1], [1, 2, 0], [11, 12, 5], [7, 8, 3], [9, 10, 4]]
    assert first.dtype == boxes.dtype == torch.int32


def test_what_the_kernel_takes():
    logits = torch.zeros(2, 3, 4, 5)
    assert fused_ops.takes(logits, None) and fused_ops.takes(logits.bfloat16(), torch.ones(2, 1, 4, 5))
    assert not fused_ops.takes(logits.double(), None) and not fused_ops.takes(logits, torch.ones(2, 3, 4, 5))
    assert not fused_ops.available(logits)  # on a CPU
