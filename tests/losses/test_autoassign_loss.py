"""AutoAssign's losses against the paper, whole and in chunks, on a pyramid that is not square; its positive weights."""

import math
from dataclasses import replace

import pytest
import torch

from mmdet_kpheads.heads import AutoAssignHead
from mmdet_kpheads.losses.autoassign_loss import AutoAssignLoss
from tests.reference import autoassign as reference
from tests.scenes import instances

HEIGHT, WIDTH, STRIDES, CLASSES = 64, 96, (8, 16), 3
IMAGES = [
    instances([[10, 10, 70, 60], [30, 20, 90, 55], [33, 25, 60, 58], [1, 1, 7, 7]], [0, 0, 1, 2]),
    instances([], []),
    instances([[5, 3, 41, 29]], [2]),
]
IGNORED = [[[20, 15, 60, 45]], [[0, 0, 50, 40]], []]  # boxes, of each image
META = dict(batch_input_shape=(HEIGHT, WIDTH), img_shape=(HEIGHT, WIDTH))


def head_and_maps(ignore_regions=False):
    giou = dict(type='GIoULoss', loss_weight=5.0)
    head = AutoAssignHead(
        CLASSES, 32, strides=STRIDES, loss_bbox=giou, backend='reference', ignore_regions=ignore_regions
    )
    torch.nn.init.uniform_(head.center_prior.mean, -0.5, 0.5)
    torch.nn.init.uniform_(head.center_prior.sigma, 0.8, 1.5)

    def levels(channels):
        shapes = [(len(IMAGES), channels, HEIGHT // stride, WIDTH // stride) for stride in STRIDES]
        return [torch.randn(shape).requires_grad_() for shape in shapes]

    return head, [levels(CLASSES), [(level.detach().abs() * 20).requires_grad_() for level in levels(4)], levels(1)]


def by_point(maps):
    """Probabilities (B, T, C) and boxes (B, T, 4) in float64, and the points."""
    points = reference.points_of([(HEIGHT // stride, WIDTH // stride) for stride in STRIDES], STRIDES)
    logits, distances, objectness = (
        torch.cat([level.detach().flatten(2) for level in levels], 2).transpose(1, 2).double() for levels in maps
    )
    at = torch.tensor(points, dtype=torch.float64)[:, :2]
    return (
        points,
        logits.sigmoid() * objectness.sigmoid(),
        torch.cat((at - distances[..., :2], at + distances[..., 2:]), 2),
    )


@pytest.mark.parametrize('ignore_regions', [False, True])
@pytest.mark.parametrize('pairs_at_once', [7, 63, 1 << 19])
def test_losses_of_a_batch_equal_the_paper(pairs_at_once, ignore_regions):
    """To ignore a region is to have no grid points inside it."""
    head, maps = head_and_maps(ignore_regions)
    head.joint_loss = replace(
        head.joint_loss, pos_weight=2.0, neg_weight=3.0, center_weight=5.0, pairs_at_once=pairs_at_once
    )
    losses = head.loss_by_feat(*maps, IMAGES, [META] * 3, [instances(boxes, [0] * len(boxes)) for boxes in IGNORED])
    points, probabilities, predicted = by_point(maps)
    prior = head.center_prior
    sums = torch.zeros(3, dtype=torch.float64)
    objects = priors = 0.0
    every = points
    for image, hits, boxes, ignored in zip(IMAGES, probabilities, predicted, IGNORED, strict=True):
        used = [
            index
            for index, point in enumerate(every)
            if not (ignore_regions and any(reference.inside(point, box) for box in ignored))
        ]
        points, hits, boxes = [every[index] for index in used], hits[used], boxes[used]
        truth = image.bboxes.tolist(), image.labels.tolist(), prior.mean.tolist(), prior.sigma.tolist()
        positive, negative, center = reference.losses(points, hits, boxes, *truth)
        held = sum(any(reference.inside(point, box) for point in points) for box in truth[0])
        own_priors = held / center if held else 0.0  # the mean over an image of one object's sum of G
        objects, priors = objects + held, priors + own_priors
        sums += torch.tensor([positive * held, negative * max(1.0, own_priors), center], dtype=torch.float64)
    expected = 2 * sums[0] / objects, 3 * sums[1] / priors, 5 * sums[2] / 3
    for name, value in zip(('loss_pos', 'loss_neg', 'loss_center'), expected, strict=True):
        assert losses[name].item() == pytest.approx(float(value), rel=1e-5), name


def test_gradients_in_chunks_are_those_of_the_whole():
    gradients = []
    for pairs_at_once in (1 << 19, 11):
        torch.manual_seed(0)
        head, maps = head_and_maps()
        head.joint_loss = replace(head.joint_loss, pairs_at_once=pairs_at_once)
        losses = head.loss_by_feat(*maps, IMAGES, [META] * 3)
        total = sum(losses[name] for name in ('loss_pos', 'loss_neg', 'loss_center'))
        leaves = [*(level for levels in maps for level in levels), *head.center_prior.parameters()]
        gradients.append(torch.autograd.grad(total, leaves))
    for whole, chunked in zip(*gradients, strict=True):
        assert whole.any()
        torch.testing.assert_close(chunked, whole, rtol=1e-4, atol=1e-7)


def test_predictions_at_ignored_points_get_no_gradient_whatever_they_are():
    head, maps = head_and_maps(ignore_regions=True)
    ignored = [instances(boxes, [0] * len(boxes)) for boxes in IGNORED]
    inside = torch.zeros(3, HEIGHT // 8, WIDTH // 8, dtype=torch.bool)
    for image, boxes in enumerate(IGNORED):
        for x, y, _ in reference.points_of([inside.shape[1:]], [8]):
            inside[image, y // 8, x // 8] = any(reference.inside((x, y, 8), box) for box in boxes)
    for levels in maps:
        levels[0] = levels[0].detach().masked_fill(inside[:, None], torch.nan).requires_grad_()
    losses = head.loss_by_feat(*maps, IMAGES, [META] * 3, ignored)
    sum(losses[name] for name in ('loss_pos', 'loss_neg', 'loss_center')).backward()
    assert all(losses[name].isfinite() for name in losses)
    for levels in maps:
        assert levels[0].grad.isfinite().all() and levels[0].grad.any()
        assert not levels[0].grad.masked_select(inside[:, None]).any()


def test_chunks_hold_every_pair_once():
    loss = AutoAssignLoss(1, 1, 1, pairs_at_once=4)
    assert loss.chunks(10) == [(0, 4), (4, 8), (8, 10)]
    assert loss.chunks(8) == [(0, 4), (4, 8)]
    assert loss.chunks(4) == [(0, 4)] and loss.chunks(0) == [(0, 0)]


def test_a_wrong_label_of_positive_weights_names_the_head():
    head, maps = head_and_maps()
    with pytest.raises(ValueError, match='label 3 >= num_classes 3 in AutoAssignHead'):
        head.positive_weights(*maps, [instances([[1, 1, 9, 9]], [3])] * 3, [META] * 3)


@pytest.mark.parametrize('images', [IMAGES, IMAGES[::-1]], ids=['overlapping objects first', 'one object first'])
def test_positive_weights_are_shares_of_the_largest_of_their_object(images):
    head, maps = head_and_maps()
    levels = head.positive_weights(*maps, images, [META] * 3)
    assert [level.shape for level in levels] == [(3, 8, 12), (3, 4, 6)]
    found = torch.cat([level.flatten(1) for level in levels], 1)
    points, probabilities, predicted = by_point(maps)
    expected = torch.zeros(3, len(points))
    prior = head.center_prior
    for image, truth in enumerate(images):
        for box, label in zip(truth.bboxes.tolist(), truth.labels.tolist(), strict=True):
            weights = {}
            for index, point in enumerate(points):
                if reference.inside(point, box):
                    giou = reference.giou(predicted[image, index].tolist(), box)
                    hit = float(probabilities[image, index, label]) * math.exp(-5 * (1 - giou))
                    center = reference.prior(point, box, prior.mean[label].tolist(), prior.sigma[label].tolist())
                    weights[index] = math.exp(3 * hit) * center
            for index, weight in weights.items():
                expected[image, index] = max(float(expected[image, index]), weight / max(weights.values()))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0.0)
