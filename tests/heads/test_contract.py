"""The contract with mmdet: signatures, a live test_cfg, a head as the RPN of a two-stage detector, losses at build."""

import inspect
import sys
from copy import deepcopy
from dataclasses import asdict

import pytest
import torch
from mmdet.models import dense_heads as mmdet_heads
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.decoding.options import CenterDecoding, CornerDecoding, GridDecoding
from mmdet_kpheads.functional.embedding import PairingReport
from mmdet_kpheads.functional.gaussian import Gaussians, draw
from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from mmdet_kpheads.heads.heatmap_head import HeatmapOptions
from tests.scenes import instances, metas, well_formed
from tests.training import BACKEND, GROUPS, SMALL_HEADS, features_of, samples_of, small_detector, small_head

PAIRS = [
    (CenterNetHead, mmdet_heads.CenterNetHead),
    (CornerNetHead, mmdet_heads.CornerHead),
    (AutoAssignHead, mmdet_heads.AutoAssignHead),
]
METHODS = ('__init__', 'forward', 'forward_single', 'loss_by_feat', 'get_targets', 'predict_by_feat')


@pytest.fixture(autouse=True)
def backend():
    """Once: nothing here depends on the backend."""
    return 'auto'


def arguments_of(method):
    """Names of the arguments that can be passed by position or name, without ``self``."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, value in inspect.signature(method).parameters.items() if value.kind in kinds][1:]


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize(('ours', 'theirs'), PAIRS)
def test_arguments_are_mmdets_in_their_order_with_ours_after_them(ours, theirs, method):
    expected, found = (arguments_of(getattr(head, method)) for head in (theirs, ours))
    if expected[0] == 'force_topk':  # mmdet's AutoAssignHead takes the two before it as *args
        expected = ['num_classes', 'in_channels', *expected]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(('ours', 'theirs'), PAIRS)
def test_a_head_without_options_starts_with_mmdets_weights_and_losses(ours, theirs):
    """Drawn with the same seed: every parameter has mmdet's name, shape and value.

    CornerNetHead makes its layers in another order, so only what init_weights sets to a constant is the same.
    """
    heads = []
    for kind in (ours, theirs):
        options = dict(num_classes=3, in_channels=4) | (dict(feat_channels=4) if ours is CenterNetHead else {})
        torch.manual_seed(0)
        head = kind(**options)
        head.init_weights()
        heads.append(head)
    found, expected = (head.state_dict() for head in heads)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in expected.items()
    }
    constant = [name for name in found if ours is not CornerNetHead or ('heat' in name and '.1.conv.bias' in name)]
    assert len(constant) > 3 and [name for name in constant if not torch.equal(found[name], expected[name])] == []
    names = [name for name in vars(heads[1]) | heads[1]._modules if name.startswith('loss_') and name != 'loss_cls']
    compared = 0
    for name in names:
        for weight in ('loss_weight', 'pull_weight', 'push_weight', 'beta'):
            weights = [getattr(getattr(head, name, None), weight, None) for head in heads]
            assert weights[0] == weights[1] or name == 'loss_centerness', (name, weight)
            compared += weights[0] is not None
    assert compared > 0
    if ours is AutoAssignHead:
        joint, mmdets = heads[0].joint_loss, heads[1]
        assert (joint.pos_weight, joint.neg_weight, joint.center_weight) == (
            mmdets.pos_loss_weight,
            mmdets.neg_loss_weight,
            mmdets.center_loss_weight,
        )
        assert (heads[0].distance_activation, heads[0].ignore_regions) == ('relu', False)


def test_defaults_are_those_of_mmdets_configs():
    """A changed default changes every published number without an error."""
    # mmdet's CornerNet config has soft-NMS, and a score_thr that its head does not read: both are off unless asked for
    for name, options, differ in (
        ('centernet/centernet_r18_8xb16-crop512-140e_coco.py', CenterDecoding(), set()),
        ('cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py', CornerDecoding(), {'nms', 'score_thr'}),
        ('autoassign/autoassign_r50-caffe_fpn_1x_coco.py', GridDecoding(), set()),
    ):
        path = inspect.getfile(mmdet_heads).split('/models/')[0] + f'/.mim/configs/{name}'
        given = Config.fromfile(path).model.test_cfg.to_dict()
        assert {key for key, value in asdict(options).items() if key in given and value != given[key]} == differ, name
    assert asdict(GridDecoding()) == {
        'nms_pre': 1000,
        'min_bbox_size': 0,
        'score_thr': 0.05,
        'nms': {'type': 'nms', 'iou_threshold': 0.6},
        'max_per_img': 100,
    }
    assert asdict(HeatmapOptions()) == {
        'radius': 'exact',
        'min_overlap': None,
        'ignore_regions': False,
        'num_feat_levels': 1,
        'feat_level': None,
        'stack_reduction': 'mean',
        'backend': 'auto',
    }


def test_test_cfg_is_the_config_that_was_given_and_a_change_takes_effect():
    cfg = ConfigDict(score_thr=0.0)
    head = CenterNetHead(4, 4, 3, test_cfg=cfg)
    assert head.test_cfg is cfg
    maps = [[torch.randn(1, channels, 32, 32).abs()] for channels in (3, 2, 2)]
    everything, wanted = head.predict_by_feat(*maps, metas(1, 128))[0], 5
    cfg.max_per_img = wanted
    assert len(head.predict_by_feat(*maps, metas(1, 128))[0]) == wanted < len(everything)
    head.test_cfg.score_thr = float(everything.scores[2])
    assert len(head.predict_by_feat(*maps, metas(1, 128))[0]) == 2
    cfg.topK = 3
    with pytest.raises(ValueError, match=r"test_cfg of CenterNetHead: unknown \['topK'\]"):
        head.predict_by_feat(*maps, metas(1, 128))


@pytest.mark.usefixtures('mmdet_scope')
@pytest.mark.parametrize('name', ['CenterNetHead', 'CornerNetHead'])
def test_changing_the_detectors_test_cfg_after_the_build_takes_effect(name):
    options = dict(num_feat_levels=1, pool_channels=8, corner_emb_channels=0) if name == 'CornerNetHead' else {}
    model = small_detector(f'mmdet_kpheads.{name}', 3, **options).eval()
    if name == 'CenterNetHead':
        nn.init.constant_(model.bbox_head.wh_head[-1].bias, 5.0)
    inputs, samples = torch.randn(1, 3, 128, 128), samples_of([well_formed(1, 3, 128)], 128)
    with torch.no_grad():
        assert len(model.predict(inputs, deepcopy(samples))[0].pred_instances) > 2
    model.bbox_head.test_cfg.max_per_img = 2
    assert len(model.predict(inputs, deepcopy(samples))[0].pred_instances) == 2


@pytest.mark.usefixtures('mmdet_scope')
def test_autoassign_is_the_rpn_of_a_two_stage_detector():
    """As mmdet's AutoAssignHead can be: by type, with the losses and options of its own."""
    cfg = Config.fromfile(configs_root() / '_base_/models/autoassign_r50.py').model
    rpn = dict(cfg.bbox_head, num_classes=1, type='mmdet_kpheads.AutoAssignHead', in_channels=16, feat_channels=32)
    rpn['stacked_convs'] = 1
    roi = dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[8, 16, 32, 64],
        ),
        bbox_head=dict(type='Shared2FCBBoxHead', in_channels=16, fc_out_channels=16, num_classes=3),
    )
    proposals = dict(nms_pre=200, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0)
    assigner = dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False)
    sampler = dict(type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True)
    rcnn = dict(score_thr=0.0, nms=dict(type='nms', iou_threshold=0.5), max_per_img=10)
    model = MODELS.build(
        dict(
            type='FasterRCNN',
            backbone=dict(type='ResNet', depth=18, base_channels=8, num_stages=3, strides=(1, 2, 2),
                          dilations=(1, 1, 1), out_indices=(0, 1, 2)),
            neck=dict(type='FPN', in_channels=[8, 16, 32], out_channels=16, start_level=1, num_outs=5,
                      add_extra_convs='on_output'),
            rpn_head=rpn,
            roi_head=roi,
            train_cfg=ConfigDict(
                rpn=None,
                rpn_proposal=proposals,
                rcnn=dict(assigner=assigner, sampler=sampler, pos_weight=-1, debug=False),
            ),
            test_cfg=ConfigDict(rpn=dict(proposals, score_thr=0.0), rcnn=rcnn),
        )
    )  # fmt: skip
    images = [well_formed(4, 3, 128, seed) for seed in (0, 1)]
    inputs = torch.randn(2, 3, 128, 128)
    losses = model.loss(inputs, samples_of(images, 128))
    assert {'loss_pos', 'loss_neg', 'loss_center'} <= {name.removeprefix('rpn_') for name in losses}
    assert all(torch.as_tensor(value).isfinite().all() for name, value in losses.items() if 'loss' in name)
    found = model.eval().predict(inputs, samples_of(images, 128))
    assert all(isinstance(sample.pred_instances, InstanceData) for sample in found)


def test_predict_by_feat_takes_mmdets_names_and_a_config_in_place_of_test_cfg():
    head = AutoAssignHead(3, 4, feat_channels=32, stacked_convs=1, strides=(8, 16), test_cfg=dict(score_thr=0.0))
    maps = head((torch.randn(1, 4, 16, 16), torch.randn(1, 4, 8, 8)))
    names = dict(zip(('cls_scores', 'bbox_preds', 'score_factors'), maps, strict=True))
    (found,) = head.predict_by_feat(**names, batch_img_metas=metas(1, 128), cfg=ConfigDict(max_per_img=3, score_thr=0))
    assert len(found) == 3
    assert [
        len(found) for found in head.predict_by_feat(**names, batch_img_metas=metas(1, 128), cfg=dict(score_thr=1))
    ] == [0]
    (proposals,) = head.predict_by_feat(**names, batch_img_metas=metas(1, 128), cfg=dict(nms=None, max_per_img=-1))
    assert len(proposals) > 200  # no score_thr and no nms_pre: no limit, as in mmdet
    with pytest.raises(ValueError, match=r"test_cfg of AutoAssignHead: unknown \['nms_post'\]"):
        head.predict_by_feat(**names, batch_img_metas=metas(1, 128), cfg=dict(nms_post=3))


@pytest.mark.parametrize('kind', [CenterNetHead, CornerNetHead, AutoAssignHead])
def test_configs_of_mmengine_are_kept(kind):
    options = dict(num_classes=3, in_channels=4) | (dict(feat_channels=4) if kind is CenterNetHead else {})
    init = dict(type='Normal', layer='Conv2d', std=0.5)
    head = kind(**options, train_cfg=dict(debug=True), init_cfg=init)
    assert head.train_cfg == dict(debug=True) and head.init_cfg == init


def test_a_size_per_class_has_two_channels_per_class():
    assert CenterNetHead(4, 4, 3, class_specific_wh=True)((torch.zeros(1, 4, 2, 2),))[1][0].shape == (1, 6, 2, 2)


def test_one_level_of_forward_by_itself():
    features = [torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)]
    head = CenterNetHead(4, 4, 3, num_feat_levels=2)
    for found, levels in zip(head.forward_single(features[0]), head(features), strict=True):
        assert torch.equal(found, levels[0])
    for first, second in head([features[0]] * 2):
        assert not torch.equal(first, second), 'each level has its own weights'
    corner = CornerNetHead(3, 4, 2, feat_channels=8, pool_channels=8)
    maps = corner.forward_single(features[1], 1)
    assert len(maps) == 6 and all(torch.equal(a, b[1]) for a, b in zip(maps, corner(features), strict=True))
    *others, first, second = corner.forward_single(features[1], 1, return_pool=True)
    assert all(torch.equal(a, b) for a, b in zip(others, maps, strict=True))
    for pooled, name in ((first, 'tl'), (second, 'br')):
        assert torch.equal(pooled, corner.get_submodule(f'{name}_pool.1')(features[1]))


def test_autoassign_forward_takes_any_iterable_of_features():
    head = AutoAssignHead(3, 4, feat_channels=32, stacked_convs=1, strides=(8, 16))
    features = torch.randn(1, 4, 16, 16), torch.randn(1, 4, 8, 8)
    for ours, expected in zip(head(level for level in features), head(features), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))


def test_autoassign_get_targets_equals_mmdets():
    options = dict(num_classes=3, in_channels=4, feat_channels=32, stacked_convs=1, strides=(8, 16))
    ours, theirs = AutoAssignHead(**options), mmdet_heads.AutoAssignHead(**options)
    points = theirs.prior_generator.grid_priors([(8, 8), (4, 4)], device='cpu')
    on_points = instances([[8, 8, 40, 40]], [0])  # its sides go through grid points, which are not inside
    images = [well_formed(5, 3, 64), well_formed(1, 3, 64, 1), on_points]
    for found, expected in zip(ours.get_targets(points, images), theirs.get_targets(points, images), strict=True):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)


def test_dense_targets_of_images_that_are_not_square_equal_mmdets():
    """Over 48 x 64 pixels, 12 x 16 cells; a box beyond the height of the image is not beyond its width."""
    boxes, labels = [torch.tensor([[4.0, 8, 30, 40], [50.0, 2, 63, 20]])], [torch.tensor([0, 2])]
    arguments = boxes, labels, (1, 3, 12, 16), (48, 64)
    ours, theirs = CenterNetHead(4, 4, 3), mmdet_heads.CenterNetHead(4, 4, 3)
    (found, count), (expected, expected_count) = ours.get_targets(*arguments), theirs.get_targets(*arguments)
    assert count == expected_count
    corners, corners_of_mmdet = CornerNetHead(3, 4).get_targets, mmdet_heads.CornerHead(3, 4).get_targets
    found, expected = found | corners(*arguments), expected | corners_of_mmdet(*arguments)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value.view_as(found[name]), rtol=1e-5, atol=1e-6, msg=name)
    assert found.keys() == expected.keys()
    for boxes_of_image in (0, 1):
        assert ours.get_targets([boxes[0][:boxes_of_image]], [labels[0][:boxes_of_image]], *arguments[2:])[1] == 1
    with pytest.raises(ValueError, match='label 3 >= num_classes 3 in CenterNetHead'):
        ours.get_targets(boxes, [torch.tensor([0, 3])], *arguments[2:])


def test_corner_targets_with_embedding_are_mmdets_match_lists():
    images = [well_formed(5, 3, 128), well_formed(2, 3, 128, 1)]
    arguments = [i.bboxes for i in images], [i.labels for i in images], (2, 3, 32, 32), (128, 128)
    ours, theirs = CornerNetHead(3, 4).get_targets, mmdet_heads.CornerHead(3, 4).get_targets
    found = ours(*arguments, with_corner_emb=True)['corner_embedding']
    expected = theirs(*arguments, with_corner_emb=True)['corner_embedding']
    assert [sorted(image) for image in found] == [sorted(image) for image in expected]
    for shift in ('with_guiding_shift', 'with_centripetal_shift'):
        with pytest.raises(ValueError, match='CentripetalHead'):
            ours(*arguments, **{shift: True})


@pytest.mark.parametrize('name', SMALL_HEADS)
def test_decode_full_is_decode_for_images_that_fill_the_input(name):
    """Over 48 x 64 pixels; the maps are 12 x 16 cells of stride 4, and for AutoAssign 6 x 8 of stride 8."""
    head = small_head(name)
    features = tuple(feature[..., : feature.shape[2] * 3 // 4, :] for feature in features_of(name, 2, seed=0))
    maps, size = head(features), (48, 64)
    meta = dict(batch_input_shape=size, img_shape=size, ori_shape=size)
    found, expected = head.decode_full(*maps, input_size=size), head.decode(*maps, batch_img_metas=[meta] * 2)
    assert found.valid.any(1).all() and found.valid.sum() > 20
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_pairing_reports_what_a_training_step_logs():
    """Of the last of two levels, for boxes over 48 x 64 pixels of which one is broken."""
    head = CornerNetHead(3, 4, num_feat_levels=2, corner_emb_channels=2, feat_channels=8, pool_channels=8)
    features = [torch.randn(2, 4, 12, 16) for _ in range(2)]
    images = [well_formed(5, 3, 48), instances([[4, 4, 60, 40], [20, 8, 30, 30], [9, 9, 9, 9]], [0, 2, 1])]
    size = (48, 64)
    batch_metas = [dict(batch_input_shape=size, img_shape=size, ori_shape=size)] * 2
    found = head.pairing(features, images, batch_metas)
    logged = head.loss_by_feat(*head(features), images, batch_metas)
    assert found.keys() == {*PairingReport._fields} and not any(value.requires_grad for value in found.values())
    assert {name: logged[name].item() for name in found} == {name: value.item() for name, value in found.items()}
    assert logged['num_dropped_boxes'] == 1
    head.loss_embedding.distance = 'l2'  # the distance of the report is that of the loss
    assert head.pairing(features, images, batch_metas) != found


@pytest.mark.parametrize('name', ['cornernet', 'autoassign'])
def test_boxes_are_in_pixels_of_the_original_on_request_alone_and_nms_can_be_left_out(name):
    """As mmdet's: of an image that was resized to half its width and a quarter of its height."""
    head = small_head(name)
    head.test_cfg.update(nms=dict(iou_threshold=0.1), score_thr=0.0, max_per_img=-1)
    maps = head(features_of(name, 1, seed=0))
    meta = [metas(1, 64)[0] | dict(scale_factor=(0.5, 0.25))]
    (found,), (scaled,) = head.predict_by_feat(*maps, meta), head.predict_by_feat(*maps, meta, rescale=True)
    torch.testing.assert_close(scaled.bboxes, found.bboxes * torch.tensor([2.0, 4.0, 2.0, 4.0]))
    assert found.bboxes.max() <= 64
    assert len(head.predict_by_feat(*maps, meta, with_nms=False)[0]) > len(found) > 0
    if name == 'cornernet':
        (found,), (scaled,) = (head.predict_joined(maps, maps, meta, *rescale) for rescale in ((), (True,)))
        torch.testing.assert_close(scaled.bboxes, found.bboxes * torch.tensor([2.0, 4.0, 2.0, 4.0]))


def test_the_last_convolutions_of_corners_keep_their_own_initialization():
    """Those of nn.Conv2d are below 1 / sqrt(inputs), here 1 / 4; the config draws the others far larger."""
    head = CornerNetHead(
        3, 4, 1, feat_channels=16, pool_channels=4, init_cfg=dict(type='Normal', layer='Conv2d', std=9)
    )
    head.init_weights()
    for corner in ('tl', 'br'):
        for output in ('heat', 'off', 'emb'):
            first, last = head.get_submodule(f'{corner}_{output}.0')
            assert first.conv.weight.abs().max() > 5 and last.conv.weight.abs().max() <= 1 / 4


class Picky(nn.Module):
    """A custom loss that must not run before training."""

    from_logits = True

    def forward(self, pred, target, weight=None, avg_factor=None, reduction_override=None):
        raise RuntimeError('called')


class OneArgument(nn.Module):
    from_logits = True

    def forward(self, pred):
        return pred


def test_a_loss_is_not_called_at_build_but_its_signature_is_checked():
    own = dict(type=Picky)
    head = CenterNetHead(4, 4, 3, loss_center_heatmap=own, loss_wh=own, loss_offset=own, loss_bbox=own)
    assert isinstance(head.loss_bbox, Picky)
    assert isinstance(AutoAssignHead(3, 32, loss_bbox=own).loss_bbox, Picky)
    for argument in ('loss_center_heatmap', 'loss_wh', 'loss_offset', 'loss_bbox'):
        with pytest.raises(TypeError, match=rf'^{argument}: cannot use OneArgument: .* called as loss\(pred, target'):
            CenterNetHead(4, 4, 3, **{argument: dict(type=OneArgument)})
    for argument, first in (('loss_heatmap', 'pred'), ('loss_offset', 'pred'), ('loss_embedding', 'tags')):
        with pytest.raises(TypeError, match=rf'^{argument}: cannot use OneArgument: .* called as loss\({first}, '):
            CornerNetHead(3, 4, 1, **{argument: dict(type=OneArgument)})
    with pytest.raises(TypeError, match=r'^loss_bbox: cannot use OneArgument'):
        AutoAssignHead(3, 32, loss_bbox=dict(type=OneArgument))


class WrongShape(Picky):
    def forward(self, pred, target, weight=None, avg_factor=None, reduction_override=None):
        return (pred - target).sum()


def test_a_loss_of_another_shape_is_named_in_the_first_step():
    maps = [[torch.randn(1, channels, 16, 16)] for channels in (3, 2, 2)]
    head = CenterNetHead(4, 4, 3, loss_wh=dict(type=WrongShape))
    with pytest.raises(TypeError, match=r'WrongShape must return shape \(1, 3, 2\), but got \(\)'):
        head.loss_by_feat(*maps, [well_formed(2, 3, 64)], metas(1, 64))
    head = AutoAssignHead(3, 4, feat_channels=32, stacked_convs=1, strides=(8,), loss_bbox=dict(type=WrongShape))
    with pytest.raises(TypeError, match=r'loss_bbox: WrongShape returns shape \(\) for \d+ boxes'):
        head.loss_by_feat(*head((torch.randn(1, 4, 8, 8),)), [well_formed(2, 3, 64)], metas(1, 64))


class Watcher(Picky):
    """Counts its calls, which must be outside autocast, and keeps the last target."""

    calls = 0

    def forward(self, pred, target, weight=None, avg_factor=None, reduction_override=None):
        assert not torch.is_autocast_enabled('cpu')
        self.calls, self.target = self.calls + 1, target
        return pred.float().mean(-1) if reduction_override else pred.float().sum()


class GaussianWatcher(Watcher):
    takes_gaussians = True


def test_losses_run_outside_autocast():
    center = CenterNetHead(4, 4, 3, loss_center_heatmap=dict(type=Watcher))
    grid = AutoAssignHead(
        3, 4, feat_channels=4, stacked_convs=1, strides=(8,), norm_cfg=GROUPS, loss_bbox=dict(type=Watcher)
    )
    for head, loss in ((center, center.loss_center_heatmap), (grid, grid.loss_bbox)):
        with torch.autocast('cpu', torch.bfloat16):
            head.loss_by_feat(*head((torch.randn(1, 4, 8, 8),)), [well_formed(2, 3, 64)], metas(1, 64))
        assert loss.calls == 1


@pytest.mark.parametrize(('kind', 'taken'), [(Watcher, torch.Tensor), (GaussianWatcher, Gaussians)])
def test_a_heat_map_loss_gets_the_drawn_map_unless_it_takes_gaussians(kind, taken):
    head = CenterNetHead(4, 4, 3, loss_center_heatmap=dict(type=kind))
    head.loss_by_feat(*head((torch.randn(1, 4, 16, 16),)), [well_formed(2, 3, 64)], metas(1, 64))
    target = head.loss_center_heatmap.target
    assert isinstance(target, taken)
    assert (draw(target) if isinstance(target, Gaussians) else target).eq(1).sum() == 2


@pytest.mark.parametrize('name', SMALL_HEADS)
def test_every_choice_of_a_version_is_that_of_the_head(name, monkeypatch):
    """From the features to the results of a batch, in training, in prediction and in what is shown of both."""
    seen = []

    def choose(function, tensor, backend='auto'):
        seen.append((function.__name__, backend))
        return function

    for module in [module for key, module in sys.modules.items() if key.startswith('mmdet_kpheads.')]:
        for chooser in ('version_of', 'as_one_graph'):
            if hasattr(module, chooser):
                monkeypatch.setattr(module, chooser, choose)
    token = BACKEND.set('reference')
    head = small_head(name)
    BACKEND.reset(token)
    size = (64, 64)
    maps, images = head(features_of(name, 1, seed=0)), [well_formed(3, 3, 64)]
    head.loss_by_feat(*maps, images, metas(1, 64))
    for nms in (dict(iou_threshold=0.5), dict(type='soft_nms', iou_threshold=0.5)):
        head.test_cfg.nms = nms
        head.predict_by_feat(*maps, metas(1, 64))
    head.decode_full(*maps, input_size=size)
    if name == 'autoassign':
        head.positive_weights(*maps, images, metas(1, 64))
    else:
        head.get_targets([images[0].bboxes], [images[0].labels], (1, 3, 16, 16), size)
    if name == 'cornernet':
        head.pairing(features_of(name, 1, seed=0), images, metas(1, 64))
    graphs = {'loss_by_pairs', 'decode_grid_points'} if name == 'autoassign' else {'loss_by_truth', 'decode_level'}
    assert graphs < {function for function, _ in seen} and len(seen) > 8
    assert [choice for choice in seen if choice[1] != 'reference'] == []


class Tuple(nn.Module):
    def forward(self, tags, mask):
        return tags.sum(), mask.sum()


def test_a_grouping_loss_that_returns_no_dict_is_named():
    head = CornerNetHead(3, 4, 1, loss_embedding=dict(type=Tuple))
    with pytest.raises(TypeError, match=r'loss_embedding: Tuple must return a dict of .* but returned tuple'):
        head.loss_by_feat(*head((torch.randn(1, 4, 16, 16),)), [well_formed(2, 3, 64)], metas(1, 64))


def test_corner_maps_of_different_sizes_are_refused_in_the_loss_but_only_the_last_is_decoded():
    head = CornerNetHead(3, 4, 2)
    small, large = head((torch.randn(1, 4, 8, 8),) * 2), head((torch.randn(1, 4, 16, 16),) * 2)
    mixed = [small[0], *large[1:]]
    with pytest.raises(ValueError, match=r'CornerNetHead needs levels of one size, but got \[\(8, 8\), \(16, 16\)\]'):
        head.loss_by_feat(*mixed, [well_formed(2, 3, 64)], metas(1, 64))
    levels = [[first[0], last[1]] for first, last in zip(small, large, strict=True)]
    (found,) = head.predict_by_feat(*levels, metas(1, 64))
    (expected,) = head.predict_by_feat(*large, metas(1, 64))
    assert torch.equal(found.bboxes, expected.bboxes)


class Compiler(Picky):
    def __init__(self, backend='triton'):
        super().__init__()
        self.backend = backend


def test_a_custom_loss_keeps_its_own_argument_of_that_name():
    head = CenterNetHead(4, 4, 3, loss_wh=dict(type=Compiler), backend='reference')
    assert (head.loss_wh.backend, head.loss_center_heatmap.backend) == ('triton', 'reference')


@pytest.mark.parametrize('scope', ['mmdet', 'mmdet_kpheads', 'mmengine'])
def test_default_losses_build_under_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        CenterNetHead(4, 4, 3)
        CornerNetHead(3, 4)
