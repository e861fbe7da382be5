"""AutoAssignHead against mmdet's head on well-formed input, and against the paper written out in float64."""

import pytest
import torch
from mmdet.models.dense_heads import AutoAssignHead as MMDetHead
from mmengine.config import ConfigDict

from mmdet_kpheads.heads import AutoAssignHead
from tests.reference import autoassign as reference
from tests.scenes import instances, metas
from tests.training import BACKEND

TOLERANCE = dict(rtol=1e-5, atol=1e-5)
SIZE, CLASSES, STRIDES = 128, 4, (8, 16, 32, 64, 128)
TEST_CFG = dict(nms_pre=200, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100)
NAMES = ('loss_pos', 'loss_neg', 'loss_center')
GIOU = dict(type='GIoULoss', loss_weight=5.0)


def pair(loss_bbox=GIOU, test_cfg=TEST_CFG, **options):
    options = (
        dict(
            num_classes=CLASSES, in_channels=8, feat_channels=32, stacked_convs=1, strides=STRIDES, loss_bbox=loss_bbox
        )
        | options
    )
    theirs = MMDetHead(**options, test_cfg=ConfigDict(test_cfg))
    ours = AutoAssignHead(**options, test_cfg=test_cfg, backend=BACKEND.get())
    torch.nn.init.normal_(theirs.center_prior.mean, std=0.3)
    torch.nn.init.uniform_(theirs.center_prior.sigma, 0.5, 2.0)
    torch.nn.init.constant_(theirs.conv_reg.bias, 2.0)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def separate(count, seed):
    """Boxes with a grid point each; those of one class overlap no other of it: each keeps to its own quarter."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])[torch.arange(count) % 4] * SIZE / 2
    low = torch.rand(count, 2, generator=generator) * 20 + 1
    high = torch.rand(count, 2, generator=generator) * 20 + 42
    labels = torch.arange(count) // 4  # at most one of a class in a quarter
    return instances(torch.cat((corner + low, corner + high), 1), labels % CLASSES)


def maps_of(batch, seed=0, strides=STRIDES):
    """Class logits, distances in pixels and objectness logits by level, that require a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def level(channels, stride):
        return torch.randn(batch, channels, SIZE // stride, SIZE // stride, generator=generator)

    logits = [level(CLASSES, stride).sub(1).requires_grad_() for stride in strides]
    distances = [(level(4, stride).abs() * 10 + 5).requires_grad_() for stride in strides]
    return [logits, distances, [level(1, stride).requires_grad_() for stride in strides]]


def test_state_dict_loads_strictly_both_ways_and_forward_is_equal():
    ours, theirs = pair()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    features = tuple(torch.randn(2, 8, SIZE // stride, SIZE // stride) for stride in STRIDES)
    for mine, other in zip(ours(features), theirs(features), strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('counts', [(0,), (1,), (1, 1), (6, 0, 3), (16, 12), (3, 5, 1, 0, 4, 2, 16, 7)])
@pytest.mark.parametrize('loss_bbox', [GIOU, dict(type='IoULoss', loss_weight=1.0)])
def test_losses_and_gradients_equal(counts, loss_bbox):
    ours, theirs = pair(loss_bbox)
    truth = [separate(count, seed) for seed, count in enumerate(counts)]
    mine, other = (maps_of(len(counts)) for _ in range(2))
    losses = ours.loss_by_feat(*mine, truth, metas(len(counts), SIZE))
    expected = theirs.loss_by_feat(*other, truth, metas(len(counts), SIZE))
    for name in NAMES:
        torch.testing.assert_close(losses[name], expected[name], **TOLERANCE)
    sum(losses[name] for name in NAMES).backward()
    sum(expected[name] for name in NAMES).backward()
    for mine_levels, other_levels in zip(mine, other, strict=True):
        for a, b in zip(mine_levels, other_levels, strict=True):
            torch.testing.assert_close(a.grad, torch.zeros_like(b) if b.grad is None else b.grad, **TOLERANCE)
    for name in ('mean', 'sigma'):
        a, b = (getattr(head.center_prior, name).grad for head in (ours, theirs))
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_losses_equal_the_paper_with_overlapping_boxes_of_a_class():
    """Where mmdet's result depends on the order of the boxes: the smallest negative weight wins."""
    ours, _ = pair()
    boxes = [[10.0, 10, 70, 80], [30, 20, 100, 90], [33, 25, 60, 62], [1, 1, 7, 7]]
    labels = [0, 0, 0, 2]
    maps = maps_of(1)
    losses = ours.loss_by_feat(*maps, [instances(boxes, labels)], metas(1, SIZE))
    logits, distances, objectness = (
        torch.cat([level[0].detach().flatten(1) for level in levels], 1).t().double() for levels in maps
    )
    points = reference.points_of([(SIZE // stride,) * 2 for stride in STRIDES], STRIDES)
    at = torch.tensor(points, dtype=torch.float64)[:, :2]
    predicted = torch.cat((at - distances[:, :2], at + distances[:, 2:]), 1)
    prior = ours.center_prior
    expected = reference.losses(
        points,
        logits.sigmoid() * objectness.sigmoid(),
        predicted,
        boxes,
        labels,
        prior.mean.tolist(),
        prior.sigma.tolist(),
    )
    for name, value, weight in zip(NAMES, expected, (0.25, 0.75, 0.75), strict=True):
        assert losses[name].item() == pytest.approx(value * weight, rel=1e-5), name


@pytest.mark.parametrize('options', [{}, dict(min_bbox_size=12), dict(nms_pre=7, score_thr=0.3), dict(max_per_img=9)])
def test_boxes_equal(options):
    ours, theirs = pair(test_cfg=TEST_CFG | options)
    maps = [[level.detach() for level in levels] for levels in maps_of(2)]
    frame = metas(2, SIZE)
    for meta in frame:
        meta['scale_factor'] = (2.0, 0.5)
    results = ours.predict_by_feat(*maps, frame, rescale=True)
    expected = theirs.predict_by_feat(*maps, frame, rescale=True)
    for mine, other in zip(results, expected, strict=True):
        assert len(mine) > 8
        torch.testing.assert_close(mine.bboxes, other.bboxes, **TOLERANCE)
        torch.testing.assert_close(mine.scores, other.scores, **TOLERANCE)
        assert torch.equal(mine.labels, other.labels)


@pytest.mark.parametrize('images', [1, 2, 8])
def test_twenty_training_steps_follow_mmdet(images):
    heads = pair(strides=(8, 16))
    curves = []
    for head in heads:
        torch.manual_seed(1)
        backbone = torch.nn.ModuleList([torch.nn.Conv2d(3, 8, 3, stride, 1) for stride in (8, 16)])
        curves.append(curve_of(backbone, head, images))
    torch.testing.assert_close(*curves, rtol=1e-3, atol=0)
    assert curves[0][-1] < 0.9 * curves[0][0]


def curve_of(backbone, head, images):
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=1e-2, momentum=0.9)
    curve = []
    for step in range(20):
        truth = [separate(4, images * step + i) for i in range(images)]
        inputs = torch.randn(images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(step))
        features = tuple(layer(inputs).relu() for layer in backbone)
        losses = head.loss_by_feat(*head(features), truth, metas(images, SIZE))
        loss = sum(losses[name] for name in NAMES)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 35)
        optimizer.step()
        curve.append(loss.detach())
    return torch.stack(curve)
