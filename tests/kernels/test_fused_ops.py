"""The operators that Triton runs: what does not need it, and the cases of ``in_interpreter.py`` in its interpreter."""

from importlib.util import find_spec

import pytest
import torch

from mmdet_kpheads.functional.gaussian import Gaussians
from mmdet_kpheads.kernels import fused_ops
from tests.compat.processes import ROOT, call


@pytest.mark.skipif(not find_spec('triton'), reason='Triton is not installed')
def test_kernels_equal_the_formulas_in_the_interpreter(monkeypatch):
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    seen = call('-m', 'pytest', '-q', '-p', 'no:xdist', 'tests/kernels/in_interpreter.py', cwd=ROOT)
    assert seen.returncode == 0, seen.stdout[-3000:]
    assert ' passed' in seen.stdout and 'skipped' not in seen.stdout


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
