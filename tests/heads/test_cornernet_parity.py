"""CornerNetHead against mmdet's CornerHead on well-formed input."""

import pytest
import torch
from mmdet.models.dense_heads import CornerHead as MMDetHead
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmdet_kpheads.heads import CornerNetHead
from tests.scenes import instances, metas
from tests.training import BACKEND

TOLERANCE = dict(rtol=1e-5, atol=1e-5)
SIZE, CELLS, CLASSES = 128, 32, 4
TEST_CFG = dict(corner_topk=100, local_maximum_kernel=3, distance_threshold=0.5, score_thr=0.0, max_per_img=100)
SOFT_NMS = dict(type='soft_nms', iou_threshold=0.5, method='gaussian')
NAMES = ('det_loss', 'off_loss', 'pull_loss', 'push_loss')


def pair(levels=2, channels=8, **options):
    options = dict(num_feat_levels=levels, in_channels=channels, num_classes=CLASSES, **options)
    theirs = MMDetHead(**options, test_cfg=ConfigDict(**TEST_CFG, nms=SOFT_NMS))
    ours = CornerNetHead(**options, test_cfg=dict(TEST_CFG, nms=SOFT_NMS), backend=BACKEND.get())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def distinct_corners(count, seed):
    """Boxes no two of which share the cell of a top-left or of a bottom-right corner."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(14 * 14, generator=generator)
    first = torch.stack((cells % 14, cells // 14), 1)[:count]
    second = 16 + torch.stack((cells % 14, cells // 14), 1)[-count or len(cells) :]
    inside = torch.rand(count, 4, generator=generator) * 0.9 + 0.05
    boxes = (torch.cat((first, second), 1) + inside) * (SIZE / CELLS)
    return InstanceData(bboxes=boxes, labels=torch.randint(CLASSES, (count,), generator=generator))


def maps_of(batch, levels=2, seed=0, tag_scale=1.0):
    """Six lists of maps that require a gradient, in the head's order."""
    generator = torch.Generator().manual_seed(seed)

    def level_maps(channels, scale=1.0, shift=0.0):
        shape = (batch, channels, CELLS, CELLS)
        return [(torch.randn(shape, generator=generator) * scale + shift).requires_grad_() for _ in range(levels)]

    heats, tags, offsets = (
        [level_maps(*spec) for _ in range(2)] for spec in ((CLASSES, 1, -2), (1, tag_scale), (2, 0.3))
    )
    return [*heats, *tags, *offsets]


def test_state_dict_loads_strictly_both_ways_and_forward_is_equal():
    ours, theirs = pair()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    features = tuple(torch.randn(2, 8, 16, 20) for _ in range(2))
    for mine, other in zip(ours(features), theirs(features), strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize('counts', [(0,), (1,), (1, 1), (6, 0, 3), (30, 12)])
@pytest.mark.parametrize('levels', [1, 2, 3])
def test_losses_and_gradients_equal(counts, levels):
    ours, theirs = pair(levels)
    truth = [distinct_corners(count, seed) for seed, count in enumerate(counts)]
    mine, other = (maps_of(len(counts), levels) for _ in range(2))
    losses = ours.loss_by_feat(*mine, truth, metas(len(counts), SIZE))
    expected = theirs.loss_by_feat(*other, truth, metas(len(counts), SIZE))
    for name in NAMES:
        for a, b in zip(losses[name], expected[name], strict=True):
            torch.testing.assert_close(a, b, **TOLERANCE)
    sum(sum(losses[name]) for name in NAMES).backward()
    sum(sum(expected[name]) for name in NAMES).backward()
    for mine_levels, other_levels in zip(mine, other, strict=True):
        for a, b in zip(mine_levels, other_levels, strict=True):
            # mmdet leaves the bottom-right tags of a batch without objects without a gradient
            torch.testing.assert_close(a.grad, torch.zeros_like(b) if b.grad is None else b.grad, **TOLERANCE)


def test_dense_targets_equal():
    ours, theirs = pair()
    truth = [distinct_corners(9, 1), instances([[0, 0, SIZE, SIZE]], [1]), instances([], [])]
    shape, size = (3, CLASSES, CELLS, CELLS), (SIZE, SIZE)
    arguments = [image.bboxes for image in truth], [image.labels for image in truth], shape, size
    mine, other = ours.get_targets(*arguments), theirs.get_targets(*arguments)
    for name, value in mine.items():
        torch.testing.assert_close(value, other[name], **TOLERANCE)


@pytest.mark.parametrize('with_nms', [False, True])
@pytest.mark.parametrize('border', [None, (8.0, 120.0, 4.0, 124.0)])
def test_boxes_inside_the_image_equal(with_nms, border):
    ours, theirs = pair()
    if not with_nms:
        ours.test_cfg['max_per_img'] = -1  # mmdet's head limits the boxes only with NMS
    maps = [[level.detach() for level in levels] for levels in maps_of(2, tag_scale=0.4)]
    for offset in (*maps[4], *maps[5]):
        offset.uniform_(0, 1)
    frame = metas(2, SIZE) if border is None else metas(2, SIZE, border=border)
    if border is not None:
        outside = torch.ones(CELLS, CELLS, dtype=torch.bool)
        outside[2:30, 1:31] = False  # every corner inside: on the right and below mmdet does not clip
        for heat in (*maps[0], *maps[1]):
            heat.masked_fill_(outside, -20)
    for meta in frame:
        meta['scale_factor'] = (2.0, 0.5)
    results = ours.predict_by_feat(*maps, frame, rescale=True, with_nms=with_nms)
    expected = theirs.predict_by_feat(*maps, frame, rescale=True, with_nms=with_nms)
    for mine, other in zip(results, expected, strict=True):
        assert len(mine) > 50
        torch.testing.assert_close(mine.bboxes, other.bboxes, **TOLERANCE)
        torch.testing.assert_close(mine.scores, other.scores, **TOLERANCE)
        assert torch.equal(mine.labels, other.labels)


def test_twenty_training_steps_follow_mmdet():
    batches = [[distinct_corners(4, 10 * step + i) for i in range(2)] for step in range(20)]
    heads = pair(levels=1)
    curves = []
    for head in heads:
        backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4, 1), torch.nn.ReLU())
        torch.manual_seed(1)
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        curves.append(curve_of(backbone, head, batches))
    torch.testing.assert_close(*curves, rtol=1e-3, atol=0)
    assert curves[0][-1] < 0.9 * curves[0][0]


def curve_of(backbone, head, batches):
    optimizer = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=1e-2, momentum=0.9)
    curve = []
    for step, images in enumerate(batches):
        inputs = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(step))
        losses = head.loss_by_feat(*head((backbone(inputs),)), images, metas(2, SIZE))
        loss = sum(sum(losses[name]) for name in NAMES)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 35)
        optimizer.step()
        curve.append(loss.detach())
    return torch.stack(curve)
