"""CenterNetHead against mmdet's on well-formed input."""

import pytest
import torch
from mmdet.models.dense_heads import CenterNetHead as MMDetHead
from mmengine.config import ConfigDict

from mmdet_kpheads.heads import CenterNetHead
from tests.scenes import instances, metas, random_maps, well_formed
from tests.training import BACKEND, follow, small_detector

TOLERANCE = dict(rtol=1e-5, atol=1e-5)
SIZE, CELLS, CLASSES = 128, 32, 5
TEST_CFG = dict(topk=100, local_maximum_kernel=3, max_per_img=100)


def pair(**options):
    theirs = MMDetHead(8, 8, CLASSES, test_cfg=ConfigDict(TEST_CFG), **options)
    ours = CenterNetHead(8, 8, CLASSES, test_cfg=TEST_CFG, backend=BACKEND.get(), **options)
    return ours, theirs


def test_state_dict_loads_strictly_both_ways():
    ours, theirs = pair()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)


def test_initial_weights_and_forward_equal():
    ours, theirs = pair()
    torch.manual_seed(3)
    ours.init_weights()
    torch.manual_seed(3)
    theirs.init_weights()
    ours.load_state_dict(theirs.state_dict())
    feature = torch.randn(2, 8, 16, 24)
    (heat,), *rest = ours((feature,))
    (probability,), *expected = theirs((feature,))
    torch.testing.assert_close(heat.sigmoid(), probability)
    assert ours.heatmap_head[-1].bias.unique().item() == pytest.approx(-2.1972246)  # log(0.1 / 0.9)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(rest, expected, strict=True))


@pytest.mark.parametrize('counts', [(0,), (1,), (7, 0, 3), (40, 25), (0, 0)])
@pytest.mark.parametrize('options', [{}, {'loss_wh': dict(type='SmoothL1Loss', beta=0.5, loss_weight=0.3)}])
def test_losses_and_gradients_equal(counts, options):
    ours, theirs = pair(**options)
    truth = [well_formed(count, CLASSES, SIZE, seed) for seed, count in enumerate(counts)]
    our_maps, their_maps = (random_maps(len(counts), CLASSES, CELLS) for _ in range(2))
    losses = ours.loss_by_feat(*[[m] for m in our_maps], truth, metas(len(counts), SIZE))
    heat, *others = their_maps
    expected = theirs.loss_by_feat([heat.sigmoid()], *[[m] for m in others], truth, metas(len(counts), SIZE))
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, **TOLERANCE)
    sum(losses[name] for name in expected).backward()
    sum(expected.values()).backward()
    for mine, other in zip(our_maps, their_maps, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **TOLERANCE)


@pytest.mark.parametrize('border', [None, (8.0, 120.0, 4.0, 124.0)])
@pytest.mark.parametrize('rescale', [True, False])
def test_scores_labels_and_boxes_in_the_image_equal(border, rescale):
    ours, theirs = pair()
    heat, size, offset = (m.detach() for m in random_maps(3, CLASSES, CELLS))
    frame = (0.0, float(SIZE), 0.0, float(SIZE)) if border is None else border
    with_border = metas(3, SIZE, border=frame)
    own_metas = metas(3, SIZE) if border is None else with_border
    for meta in (*with_border, *own_metas):
        meta['scale_factor'] = (2.0, 0.5)
    results = ours.predict_by_feat([heat], [size], [offset], own_metas, rescale=rescale)
    expected = theirs.predict_by_feat([heat.sigmoid()], [size], [offset], with_border, rescale=rescale)
    scale = torch.tensor([2.0, 0.5] if rescale else [1.0, 1.0])
    extent = torch.tensor([frame[3] - frame[2], frame[1] - frame[0]]) / scale
    for mine, other in zip(results, expected, strict=True):
        boxes = torch.minimum(other.bboxes.clamp(min=0), extent.repeat(2))
        there = (boxes[:, 2:] > boxes[:, :2]).all(-1)
        torch.testing.assert_close(mine.scores, other.scores[there], **TOLERANCE)
        torch.testing.assert_close(mine.bboxes, boxes[there], **TOLERANCE)
        assert torch.equal(mine.labels, other.labels[there])
        assert len(mine.bboxes) > 60


def test_twenty_training_steps_follow_mmdet():
    batches = [[well_formed(5, CLASSES, SIZE, 10 * step + i) for i in range(2)] for step in range(20)]
    torch.manual_seed(1)
    theirs = small_detector('mmdet.CenterNetHead', CLASSES)
    theirs.init_weights()
    ours = small_detector('mmdet_kpheads.CenterNetHead', CLASSES)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    curves = [follow(model, batches, SIZE) for model in (ours, theirs)]
    torch.testing.assert_close(*curves, rtol=1e-3, atol=0)
    assert curves[0][-1] < 0.9 * curves[0][0]


def test_type_alone_changes_an_mmdet_config(mmdet_scope):
    from mmdet.registry import MODELS

    cfg = dict(
        in_channels=8,
        feat_channels=8,
        num_classes=CLASSES,
        loss_center_heatmap=dict(type='GaussianFocalLoss', loss_weight=1.0),
        loss_wh=dict(type='L1Loss', loss_weight=0.1),
        loss_offset=dict(type='L1Loss', loss_weight=1.0),
        test_cfg=ConfigDict(TEST_CFG),
    )
    assert type(MODELS.build(dict(cfg, type='CenterNetHead'))) is MMDetHead
    head = MODELS.build(dict(cfg, type='mmdet_kpheads.CenterNetHead'))
    assert type(head) is CenterNetHead
    loss = head.loss_by_feat(*[[m] for m in random_maps(1, CLASSES, CELLS)], [instances([], [])], metas(1, SIZE))
    assert loss['loss_center_heatmap'] > 0
