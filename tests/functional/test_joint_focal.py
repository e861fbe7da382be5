"""The negative loss against its formula in float64, and its hand-written gradients."""

import math

import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.joint_focal import SparseWeight, joint_focal_loss, joint_focal_sum


def inputs(images=2, classes=3, points=50, spread=3.0):
    logits = torch.randn(images, classes, points) * spread
    objectness = torch.randn(images, 1, points) * spread
    weight = torch.rand(images, classes, points)
    weight[0, :, :10], weight[1, 0] = 1, 0
    return logits.requires_grad_(), objectness.requires_grad_(), weight


def sparse(weight):
    """Every cell named, each twice: once with a larger weight."""
    cells = torch.arange(weight.numel())
    return SparseWeight(cells.repeat(2), torch.cat((weight.flatten(), weight.flatten() / 2 + 0.5)))


def summed(backend, logits, objectness, weight):
    return version_of(joint_focal_sum, logits, backend)(logits, objectness, weight)


def formula(logits, objectness, weight):
    hit = (weight * logits.sigmoid() * objectness.sigmoid()).double()
    return hit**2 * -torch.log(1 - hit)


def test_equals_the_formula():
    logits, objectness, weight = inputs()
    expected = formula(logits.double(), objectness.double(), weight.double())
    torch.testing.assert_close(joint_focal_loss(logits, objectness, weight).double(), expected, rtol=1e-5, atol=1e-7)
    expected = formula(logits.double(), objectness.double(), torch.ones_like(weight).double())
    torch.testing.assert_close(joint_focal_loss(logits, objectness).double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('block', [64, 1 << 18])
def test_sum_and_gradients_equal_autograd(backend, block, monkeypatch):
    monkeypatch.setattr('mmdet_kpheads.kernels.cpu.BLOCK_CELLS', block)
    logits, objectness, weight = inputs()
    total, _ = summed(backend, logits, objectness, sparse(weight))
    (total * 3).backward()
    double = [tensor.detach().double().requires_grad_() for tensor in (logits, objectness)]
    expected = formula(*double, weight.double()).sum()
    (expected * 3).backward()
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits.grad.double(), double[0].grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(objectness.grad.double(), double[1].grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('value', [-60000.0, -100.0, 0.0, 17.0, 60.0, 95.0, 200.0, 60000.0])
def test_finite_for_any_logit(backend, dtype, value):
    logits = torch.full((1, 80, 4), value, dtype=dtype, requires_grad=True)
    objectness = torch.full((1, 1, 4), value, dtype=dtype, requires_grad=True)
    weight = torch.tensor([0.0, 0.5, 1 - 2**-24, 1.0]).expand(1, 80, 4)
    total, _ = summed(backend, logits, objectness, sparse(weight))
    total.backward()
    assert total.isfinite()
    assert logits.grad.isfinite().all()
    assert objectness.grad.isfinite().all()


@pytest.mark.parametrize('logit', [20.0, 150.0])
def test_a_saturated_background_point_keeps_its_gradient(backend, logit):
    """In float32 sigmoid(20) is 1: the plain formula would be a logarithm of 0."""
    logits = torch.full((1, 1, 1), logit, requires_grad=True)
    total, _ = summed(backend, logits, torch.full((1, 1, 1), logit), sparse(torch.ones(1, 1, 1)))
    total.backward()
    assert total.item() == pytest.approx(logit - math.log(2), rel=1e-4)  # -log(2 exp(-logit))
    assert logits.grad.item() == pytest.approx(0.5, rel=1e-4)


def test_no_points_give_zero(backend):
    total, values = summed(backend, torch.zeros(0, 3, 5), torch.zeros(0, 1, 5), sparse(torch.ones(0, 3, 5)))
    assert total == 0
    assert values.shape == (0,)


def test_a_weight_is_1_but_at_its_cells_and_0_at_ignored_points():
    ignored = torch.tensor([[False, False, True], [False, True, False]])
    weight = SparseWeight(torch.tensor([0, 9, 9, 2]), torch.tensor([0.5, 0.75, 0.25, 0.5]), ignored)
    dense = weight.dense(torch.zeros(2, 2, 3, dtype=torch.float16))
    assert dense.dtype == torch.float32
    assert dense.tolist() == [[[0.5, 1, 0], [1, 1, 0]], [[1, 0, 1], [0.25, 0, 1]]]


def test_ignored_points_add_nothing_and_get_no_gradient(backend):
    logits, objectness, _ = inputs()
    ignored = torch.rand(2, 50) > 0.5
    cells, values = torch.tensor([3, 210]), torch.tensor([0.5, 0.25])
    total, _ = summed(backend, logits, objectness, SparseWeight(cells, values, ignored))
    total.backward()
    weight = torch.ones(300).scatter(0, cells, values).view(2, 3, 50) * ~ignored[:, None]
    torch.testing.assert_close(total.double(), formula(logits, objectness, weight).sum(), rtol=1e-5, atol=1e-5)
    assert torch.equal(logits.grad != 0, ~ignored[:, None].expand(2, 3, 50))
    assert torch.equal(objectness.grad != 0, ~ignored[:, None])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_the_values_at_the_cells_carry_their_own_gradient(backend, dtype):
    """The logits at the cells of the weight go on to another loss, here their squares; a cell may come twice."""
    cells, values = torch.tensor([7, 100, 7, 299]), torch.tensor([0.5, 0.25, 0.75, 1.0])
    weight = SparseWeight(cells, values)
    results = []
    for fast in (True, False):
        logits, objectness, _ = inputs()
        logits = (torch.linspace(-3, 3, logits.numel()).view(logits.shape)).to(dtype).requires_grad_()
        objectness = torch.linspace(-2, 2, objectness.numel()).view(objectness.shape).to(dtype).requires_grad_()
        if fast:
            total, read = summed(backend, logits, objectness, weight)
        else:
            total = joint_focal_loss(logits, objectness, weight.dense(logits)).sum()
            read = logits.flatten()[cells].float()
        (total * 0.5 + (read**2).sum() * 2).backward(retain_graph=True)
        (total + read.sum()).backward()
        results.append((total, read, logits.grad, objectness.grad))
    close = dict(rtol=1e-5, atol=1e-6) if dtype == torch.float32 else dict(rtol=2e-2, atol=2e-2)
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, **close)


def test_maps_that_do_not_lie_in_order(backend):
    logits, objectness, _ = inputs()
    weight = SparseWeight(torch.tensor([4, 77]), torch.tensor([0.5, 0.25]))
    results = []
    for turned in (logits.detach(), logits.detach().transpose(1, 2).contiguous().transpose(1, 2)):
        total, read = summed(backend, turned.requires_grad_(), objectness, weight)
        results.append((total, read, *torch.autograd.grad(total + read.sum(), turned)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_the_values_alone_have_their_gradient(backend):
    logits, objectness, _ = inputs()
    weight = SparseWeight(torch.tensor([4, 4]), torch.tensor([0.5, 0.5]))
    _, read = summed(backend, logits, objectness, weight)
    (alone,) = torch.autograd.grad(read.sum(), logits)
    assert alone.flatten().nonzero().tolist() == [[4]]
    assert alone.flatten()[4] == 2


def test_gradients_of_half_precision_are_added_before_they_are_rounded(backend):
    """3000 pairs read one cell: summed in half precision, the gradient stops at 2048."""
    logits = torch.zeros(1, 1, 4, dtype=torch.float16, requires_grad=True)
    weight = SparseWeight(torch.zeros(3000, dtype=torch.int64), torch.zeros(3000))
    _, read = summed(backend, logits, torch.zeros(1, 1, 4, dtype=torch.float16), weight)
    read.sum().backward()
    assert logits.grad.flatten().tolist() == [3000.0, 0, 0, 0]


@pytest.mark.parametrize('mode', [torch.no_grad, torch.inference_mode])
def test_without_gradients_saturated_cells_have_their_value(backend, mode):
    logits, objectness = torch.full((1, 2, 3), 9.0, requires_grad=True), torch.full((1, 1, 3), 9.0)
    weight = sparse(torch.ones(1, 2, 3))
    expected = joint_focal_loss(logits.detach(), objectness, torch.ones(1, 2, 3)).sum()
    with mode():
        total, _ = summed(backend, logits, objectness, weight)
    torch.testing.assert_close(total, expected)
