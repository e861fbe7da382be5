"""The GIoU loss against mmdet's and by hand."""

import pytest
import torch
from mmdet.models.losses import GIoULoss

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.giou import giou_loss

EPS = 1e-6


def boxes_of(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 100
    return torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * 60), 1)


def loss_of(backend, predicted, boxes, eps):
    return version_of(giou_loss, predicted, backend)(predicted, boxes, eps)


def both(backend, predicted, boxes):
    """Loss and gradient, ours and mmdet's."""
    factor = torch.linspace(0.5, 2, len(predicted))
    ours, theirs = (predicted.clone().requires_grad_() for _ in range(2))
    first = loss_of(backend, ours, boxes, EPS)
    second = GIoULoss(eps=EPS)(theirs, boxes, reduction_override='none')
    (first * factor).sum().backward()
    (second * factor).sum().backward()
    return (first, ours.grad), (second, theirs.grad)


def test_boxes_in_any_shape_and_nearly_without_area():
    predicted = torch.tensor([[[0.0, 0, 4, 4]], [[0.0, 0, 1e-2, 1e-2]]])
    found = giou_loss(predicted, torch.tensor([[[2.0, 2, 6, 6]], [[0.0, 0, 1e-2, 1e-2]]]))
    torch.testing.assert_close(found, torch.tensor([[2 - 4 / 28 - 28 / 36], [0.0]]))


def test_boxes_in_a_grid_have_the_loss_and_gradient_of_a_list(backend):
    found, expected = (boxes_of(6, 0).view(shape).requires_grad_() for shape in ((2, 3, 4), (6, 4)))
    weight = torch.linspace(0.5, 2, 6)
    loss = loss_of(backend, found, boxes_of(6, 1).view(2, 3, 4), EPS)
    listed = loss_of(backend, expected, boxes_of(6, 1), EPS)
    torch.testing.assert_close(loss, listed.view(2, 3))
    (loss * weight.view(2, 3)).sum().backward()
    (listed * weight).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad.view(2, 3, 4))


def test_by_hand(backend):
    """Two squares of 4 that share a quarter: I = 4, U = 28, E = 36."""
    predicted, boxes = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 2, 6, 6]])
    loss = loss_of(backend, predicted, boxes, EPS)
    assert loss.tolist() == pytest.approx([1 - (4 / 28 - 8 / 36)])


def test_equals_mmdets_loss_and_gradient(backend):
    for ours, theirs in zip(*both(backend, boxes_of(500, 0), boxes_of(500, 1)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'predicted',
    [
        pytest.param([10.0, 10, 20, 20], id='equal'),
        pytest.param([10.0, 12, 18, 20], id='two sides equal'),
        pytest.param([15.0, 15, 15, 15], id='a point inside'),
        pytest.param([20.0, 10, 30, 20], id='side by side'),
        pytest.param([20.0, 12, 30, 26], id='side by side, one higher'),
        pytest.param([20.0, 20, 30, 30], id='corner to corner'),
        pytest.param([40.0, 12, 50, 18], id='apart'),
        pytest.param([12.0, 12, 14, 14], id='inside'),
        pytest.param([0.0, 0, 90, 90], id='around'),
        pytest.param([30.0, 10, 5, 40], id='left and right exchanged'),
    ],
)
def test_boxes_that_touch_or_vanish_equal_mmdets(backend, predicted):
    for ours, theirs in zip(*both(backend, torch.tensor([predicted]), torch.tensor([[10.0, 10, 20, 20]])), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('size', [0.0, 1e-5, 1e-3])
def test_boxes_without_area_stay_finite(backend, size):
    """Union and hull below eps count as eps."""
    box = torch.tensor([[5.0, 5, 5 + size, 5 + size]])
    for ours, theirs in zip(*both(backend, box, box + size / 4), strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_tiny_eps_gives_no_nan(backend):
    predicted = torch.arange(9.0)[:, None, None, None] * torch.tensor([0.0, 0, 0.25, 0.25])
    predicted = (predicted + torch.tensor([1.0, 1, 1, 1])).view(-1, 4).requires_grad_()
    loss_of(backend, predicted, torch.tensor([1.0, 1, 2, 2]).expand(9, 4), 1e-30).sum().backward()
    assert predicted.grad.isfinite().all()


def test_a_second_derivative_is_refused():
    backend = 'cpu'
    predicted = boxes_of(3, 0).requires_grad_()
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(loss_of(backend, predicted, boxes_of(3, 1), EPS).sum(), predicted, create_graph=True)


def test_no_boxes(backend):
    predicted = torch.zeros(0, 4, requires_grad=True)
    loss = loss_of(backend, predicted, torch.zeros(0, 4), EPS)
    loss.sum().backward()
    assert loss.shape == (0,)
    assert predicted.grad.shape == (0, 4)


def test_targets_may_require_a_gradient_and_broadcast(backend):
    predicted, target = boxes_of(2, 0).requires_grad_(), boxes_of(1, 1)[0].requires_grad_()
    loss = loss_of(backend, predicted, target, EPS)
    torch.testing.assert_close(loss, giou_loss(predicted, target, EPS))
    for found, wanted in zip(
        torch.autograd.grad(loss.sum(), (predicted, target)),
        torch.autograd.grad(giou_loss(predicted, target, EPS).sum(), (predicted, target)),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)
    fixed = loss_of(backend, predicted, target.detach(), EPS)
    torch.testing.assert_close(fixed, giou_loss(predicted, target, EPS))
