"""The GIoU loss against mmdet's and by hand."""

import pytest
import torch
from mmdet.models.losses import GIoULoss

from mmdet_kpheads.functional.giou import giou_loss

EPS = 1e-6


def boxes_of(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 100
    return torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * 60), 1)


def both(predicted, boxes):
    """Loss and gradient, ours and mmdet's."""
    factor = torch.linspace(0.5, 2, len(predicted))
    ours, theirs = (predicted.clone().requires_grad_() for _ in range(2))
    first = giou_loss(ours.t(), boxes.t(), EPS)
    second = GIoULoss(eps=EPS)(theirs, boxes, reduction_override='none')
    (first * factor).sum().backward()
    (second * factor).sum().backward()
    return (first, ours.grad), (second, theirs.grad)


def test_by_hand():
    """Two squares of 4 that share a quarter: I = 4, U = 28, E = 36."""
    predicted, boxes = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 2, 6, 6]])
    loss = giou_loss(predicted.t(), boxes.t(), EPS)
    assert loss.tolist() == pytest.approx([1 - (4 / 28 - 8 / 36)])


def test_equals_mmdets_loss_and_gradient():
    for ours, theirs in zip(*both(boxes_of(500, 0), boxes_of(500, 1)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    'predicted',
    [
        pytest.param([10.0, 10, 20, 20], id='equal'),
        pytest.param([10.0, 12, 18, 20], id='two sides equal'),
        pytest.param([15.0, 15, 15, 15], id='a point inside'),
        pytest.param([20.0, 10, 30, 20], id='side by side'),
        pytest.param([20.0, 20, 30, 30], id='corner to corner'),
        pytest.param([40.0, 12, 50, 18], id='apart'),
        pytest.param([12.0, 12, 14, 14], id='inside'),
        pytest.param([0.0, 0, 90, 90], id='around'),
        pytest.param([30.0, 10, 5, 40], id='left and right exchanged'),
    ],
)
def test_boxes_that_touch_or_vanish_equal_mmdets(predicted):
    for ours, theirs in zip(*both(torch.tensor([predicted]), torch.tensor([[10.0, 10, 20, 20]])), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('size', [0.0, 1e-5, 1e-3])
def test_boxes_without_area_stay_finite(size):
    """Union and hull below eps count as eps."""
    box = torch.tensor([[5.0, 5, 5 + size, 5 + size]])
    for ours, theirs in zip(*both(box, box + size / 4), strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_a_tiny_eps_gives_no_nan():
    predicted = torch.arange(9.0)[:, None, None, None] * torch.tensor([0.0, 0, 0.25, 0.25])
    predicted = (predicted + torch.tensor([1.0, 1, 1, 1])).view(-1, 4).requires_grad_()
    giou_loss(predicted.t(), torch.tensor([1.0, 1, 2, 2]).expand(9, 4).t(), 1e-30).sum().backward()
    assert predicted.grad.isfinite().all()


def test_a_second_derivative_is_refused():
    predicted = boxes_of(3, 0).t().requires_grad_()
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(giou_loss(predicted, boxes_of(3, 1).t(), EPS).sum(), predicted, create_graph=True)


def test_no_boxes():
    predicted = torch.zeros(4, 0, requires_grad=True)
    loss = giou_loss(predicted, torch.zeros(4, 0), EPS)
    loss.sum().backward()
    assert loss.shape == (0,)
    assert predicted.grad.shape == (4, 0)
