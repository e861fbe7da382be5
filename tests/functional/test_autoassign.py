"""The parts of AutoAssign's losses against slow versions and by hand."""

import math

import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.autoassign import (
    best_iou,
    center_loss,
    columns,
    inverse_miss,
    log_center_prior,
    negative_weight,
    no_ranges,
    object_sums,
    positive_loss,
    precision_of,
    with_pairs,
)
from tests.reference.autoassign import iou


@pytest.mark.parametrize('at_once', [1, 30, 1 << 18])
def test_best_iou_is_the_maximum_over_the_boxes_of_the_image(backend, at_once):
    corner = torch.rand(2, 7, 2) * 50
    predicted = torch.cat((corner, corner + torch.rand(2, 7, 2) * 30), -1)
    predicted[0, 0, 2:] = predicted[0, 0, :2]  # a relu that is closed predicts a point
    corner = torch.rand(2, 3, 2) * 50
    boxes = torch.cat((corner, corner + torch.rand(2, 3, 2) * 30), -1)
    boxes[1, 2] = 0
    expected = [
        [max(iou(box, other) for other in image_boxes) for box in image]
        for image, image_boxes in zip(predicted.tolist(), boxes.tolist(), strict=True)
    ]
    torch.testing.assert_close(version_of(best_iou, boxes, backend)(predicted, boxes, at_once), torch.tensor(expected))


def test_positive_loss_by_hand():
    """One box, two points with P+ = 0.5 and 0.2, G = 1 and 0.5."""
    hits, priors = torch.tensor([0.5, 0.2]), torch.tensor([1.0, 0.5])
    sums = object_sums(torch.zeros(2).long(), 2, hits.log(), priors.log(), torch.zeros(2))
    first, second = math.exp(1.5), 0.5 * math.exp(0.6)
    expected = -math.log((first * 0.5 + second * 0.2) / (first + second))
    assert positive_loss(sums, torch.tensor([True, False])).tolist() == pytest.approx([expected, 0.0])
    assert sums.prior.tolist() == [1.5, 0.0]


def test_the_shift_cancels_and_saves_small_priors():
    """Points 200 sigma^2 away: exp would be 0 for all of them."""
    box, log_hit = torch.zeros(2).long(), torch.tensor([0.5, 0.2]).log().requires_grad_()
    log_prior = torch.tensor([-200.0, -200.7])
    sums = object_sums(box, 1, log_hit, log_prior, torch.tensor([-200.0]))
    near = object_sums(box, 1, log_hit, log_prior + 200, torch.zeros(1))
    held = torch.tensor([True])
    torch.testing.assert_close(positive_loss(sums, held), positive_loss(near, held))
    positive_loss(sums, held).sum().backward()
    assert log_hit.grad is not None
    assert (log_hit.grad < 0).any()


def test_sums_of_parts_add_up():
    box = torch.tensor([0, 0, 1, 1, 2])
    values = torch.rand(5).log(), torch.rand(5).log()
    whole = object_sums(box, 3, *values, torch.zeros(3))
    parts = [
        object_sums(box[part], 3, values[0][part], values[1][part], torch.zeros(3))
        for part in (slice(0, 1), slice(1, 4), slice(4, 5))
    ]
    for values, expected in zip(zip(*parts, strict=True), whole, strict=True):
        torch.testing.assert_close(sum(values), expected)


def test_negative_weights_of_a_box_run_from_0_to_1():
    first, value = torch.zeros(3).long(), inverse_miss(torch.tensor([0.0, 0.5, 0.9]))
    ranges = with_pairs(no_ranges(3, value.device), first, value, torch.zeros(3))
    torch.testing.assert_close(negative_weight(ranges, first, value), torch.tensor([1.0, 8 / 9, 0.0]))  # of 1, 2, 10
    second, value = torch.ones(1).long(), inverse_miss(torch.tensor([0.3]))
    ranges = with_pairs(ranges, second, value, torch.zeros(1))
    assert negative_weight(ranges, second, value).item() == 0
    assert ranges.highest.isfinite().tolist() == [True, True, False]


def test_ranges_and_weights_by_hand():
    assert inverse_miss(torch.tensor([0.0, 0.5])).tolist() == [1, 2]
    objects, miss, log_prior = torch.tensor([0, 0, 1]), torch.tensor([3.0, 2.0, 5.0]), torch.tensor([-1.0, -4.0, -2.0])
    ranges = with_pairs(no_ranges(3, miss.device), objects, miss, log_prior)
    assert [values.tolist() for values in ranges] == [
        [2, 5, math.inf],
        [3, 5, -math.inf],
        [-1, -2, -math.inf],
    ]


def test_columns():
    table = torch.arange(6.0).view(2, 3)
    assert columns(table, torch.tensor([2, 0, 2, 1])).tolist() == [[2, 0, 2, 1], [5, 3, 5, 4]]


def test_center_loss_is_the_mean_over_images():
    prior = torch.tensor([[2.0, 1.0], [5.0, 0.0]])
    held = torch.tensor([[True, True], [False, False]])
    assert center_loss(prior, held).item() == pytest.approx((2 / 3 + 0) / 2)
    held = torch.tensor([[True, False], [False, False]])
    assert center_loss(prior, held).item() == pytest.approx((1 / 2 + 0) / 2)


@pytest.mark.parametrize('sigma', [0.0, -1e-30, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize('offset', [0.0, 1e-3, 200.0])
def test_the_prior_is_finite_for_any_sigma(sigma, offset):
    mean, scale = torch.zeros(2, 1, requires_grad=True), torch.full((2, 1), sigma, requires_grad=True)
    log_prior = log_center_prior(torch.full((2, 1), offset), mean, precision_of(scale))
    log_prior.exp().sum().backward()
    assert log_prior.isfinite().all()
    assert mean.grad.isfinite().all()
    assert scale.grad.isfinite().all()


def test_the_prior_is_a_product_of_gaussians():
    value = log_center_prior(
        torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0]), precision_of(torch.tensor([2.0, -4.0]))
    ).exp()
    assert value.item() == pytest.approx(math.exp(-0.25 / 8) * math.exp(-4 / 32))


def test_each_pair_has_its_own_prior():
    offset, mean = torch.tensor([[1.0, 0.0], [2.0, 3.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    precision = precision_of(torch.tensor([[1.0, 1.0], [1.0, 2.0]]))
    assert log_center_prior(offset, mean, precision).tolist() == [-1.0, -0.5]
