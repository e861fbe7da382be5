import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.gaussian import Gaussians, draw
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_loss, gaussian_focal_sum
from mmdet_kpheads.kernels.cpu import Scratch
from tests.reference import center as reference

TARGETS = torch.tensor([1.0, 0.9, 0.5, 0.0, 1.0, 0.2]).view(1, 1, 2, 3)
LOGITS = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0, 7.0], dtype=torch.float64).view(1, 1, 2, 3)


def summed(backend, logits, *args):
    return version_of(gaussian_focal_sum, logits, backend)(logits, *args)


@pytest.mark.parametrize(('alpha', 'gamma'), [(2, 4), (1, 1), (0.5, 2.5)])
def test_every_cell_equals_the_formula(alpha, gamma):
    expected = [
        reference.focal(x, y, alpha, gamma)
        for x, y in zip(LOGITS.flatten().tolist(), TARGETS.double().flatten().tolist(), strict=True)
    ]
    loss = gaussian_focal_loss(LOGITS, TARGETS.double(), None, alpha, gamma)
    torch.testing.assert_close(loss.flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)


@pytest.mark.parametrize('factor', [1.0, torch.tensor(0.25, dtype=torch.float64)])
@pytest.mark.parametrize('weight', [None, torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0, 0.0]).view(1, 1, 2, 3)])
@pytest.mark.parametrize('powers', [(2.0, 4.0, 1.0, 1.0), (1.5, 3.0, 0.25, 0.75)])
def test_sum_equals_the_formula_in_value_and_gradient(backend, weight, powers, factor):
    slow, fast = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    target = TARGETS.double()
    expected = gaussian_focal_loss(slow, target, weight, *powers).sum() * 3 * factor
    loss = summed(backend, fast, target, weight, *powers, factor) * 3
    expected.backward()
    loss.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(fast.grad, slow.grad, rtol=1e-9, atol=1e-12)


def test_gradcheck(backend):
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: summed(backend, x, TARGETS.double()), logits)


def test_a_second_derivative_is_refused_by_the_kernel_and_given_by_the_reference():
    backend = 'cpu'
    logits = LOGITS.clone().requires_grad_()
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(summed(backend, logits, TARGETS.double()) * 2, logits, create_graph=True)
    assert torch.autograd.gradgradcheck(lambda x: gaussian_focal_sum(x, TARGETS.double()), logits)


def test_without_targets_and_gamma_zero_it_is_bce_with_alpha_zero(backend):
    ones_and_zeros = (TARGETS == 1).double()
    loss = summed(backend, LOGITS, ones_and_zeros, None, 0.0, 0.0)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, ones_and_zeros, reduction='sum')
    torch.testing.assert_close(loss, bce)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('logit', [-65504.0, -100.0, -18.0, 0.0, 9.0, 100.0, 65504.0])
def test_value_and_gradient_are_finite(backend, dtype, logit):
    logits = torch.full((1, 1, 1, 3), logit, dtype=dtype, requires_grad=True)
    loss = summed(backend, logits, torch.tensor([1.0, 0.5, 0.0]).view(1, 1, 1, 3))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_blocks_of_any_size_give_the_same_sum(backend, monkeypatch):
    logits, target = torch.randn(2, 5, 8, 8), torch.rand(2, 5, 8, 8).round(decimals=1)
    whole = summed(backend, logits, target)
    monkeypatch.setattr('mmdet_kpheads.kernels.cpu.BLOCK_CELLS', 100)
    torch.testing.assert_close(summed(backend, logits, target), whole)


@pytest.mark.parametrize('shape', [(), (4, 4), (3, 1, 1), (1, 1, 4, 4), (2, 1, 4, 4)])
def test_a_weight_of_any_shape_that_broadcasts(backend, shape):
    logits, target = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 4, 4).round(decimals=1)
    weight = torch.rand(shape)
    expected = gaussian_focal_loss(logits, target, weight).sum()
    torch.testing.assert_close(summed(backend, logits, target, weight), expected)


def test_weight_and_target_of_double_precision_leave_the_loss_in_single(backend):
    logits = LOGITS.float().requires_grad_()
    loss = summed(backend, logits, TARGETS.double(), TARGETS.double() + 1)
    loss.backward()
    slow = LOGITS.clone().requires_grad_()
    expected = gaussian_focal_loss(slow, TARGETS.double(), TARGETS.double() + 1).sum()
    expected.backward()
    assert loss.dtype == logits.grad.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(logits.grad.double(), slow.grad, rtol=1e-5, atol=1e-6)


def test_the_cpu_kernel_writes_into_the_same_blocks_as_long_as_the_shape_is_the_same():
    scratch = Scratch(2)
    first, second = scratch.like(torch.zeros(2, 3)), scratch.like(torch.ones(2, 3))
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert [block.shape for block in scratch.like(torch.zeros(3, 3))] == [(3, 3), (3, 3)]


def test_in_inference_mode_it_has_its_value(backend):
    logits = LOGITS.clone().requires_grad_()
    expected = gaussian_focal_loss(LOGITS, TARGETS.double()).sum()
    with torch.inference_mode():
        torch.testing.assert_close(summed(backend, logits, TARGETS.double()), expected)


def test_an_empty_batch_gives_zero(backend):
    logits = torch.zeros(0, 3, 4, 4, requires_grad=True)
    loss = summed(backend, logits, torch.zeros(0, 3, 4, 4))
    loss.backward()
    assert loss == 0


def test_gaussians_equal_the_drawn_map(backend):
    boxes = torch.randint(1, 9, (2, 6, 2))
    shape = torch.Size((2, 3, 10, 10))
    labels, radius = torch.randint(0, 3, (2, 6)), torch.randint(0, 4, (2, 6))
    gaussians = Gaussians(shape, boxes, radius, labels, torch.rand(2, 6) > 0.2, 5)
    slow, fast = (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 for _ in range(2))
    loss = summed(backend, fast.requires_grad_(), gaussians)
    expected = gaussian_focal_loss(slow.requires_grad_().double(), draw(gaussians).double()).sum()
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(fast.grad, slow.grad, rtol=1e-5, atol=1e-7)


def test_a_second_backward_gives_the_same_gradient(backend):
    logits = LOGITS.clone().requires_grad_()
    loss = summed(backend, logits, TARGETS.double())
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0].clone()
    (third,) = torch.autograd.grad(loss, logits, torch.tensor(2.0, dtype=torch.float64), retain_graph=True)
    torch.testing.assert_close(third, 2 * first)
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], first)


def test_a_loss_scaler_saves_small_gradients_of_half_precision(backend):
    """Unscaled they are 0 in float16; and a scale of 65536 is itself infinite there."""
    logits = torch.full((1, 1, 2, 2), -6.5, dtype=torch.float16, requires_grad=True)
    (summed(backend, logits, torch.zeros(1, 1, 2, 2)) * 65536).backward()
    exact = logits.detach().double().requires_grad_()
    (gaussian_focal_loss(exact, torch.zeros(1, 1, 2, 2).double()).sum() * 65536).backward()
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=2e-3, atol=0)
