"""Converted weights of the original repositories load and reproduce the outputs of the original models."""

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_kpheads.convert import convert
from mmdet_kpheads.errors import InputError, KpheadsWarning
from mmdet_kpheads.fitting import load_whole
from tests.reference import authors

CLASSES, PX = 3, 128
CHANNELS = (8, 8, 16, 32, 48, 64)
STACKED = dict(depth=2, dims=(16, 16, 24), blocks=(1, 1, 2), stacks=2)
BACKBONES = dict(
    dla=dict(type='mmdet_kpheads.DLA', channels=CHANNELS),
    resnet=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_eval=False),
    deformable=dict(  # mmdet's BasicBlock does not support deformable convolutions
        type='ResNet',
        depth=50,
        base_channels=8,
        stem_channels=8,
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    hourglass=dict(
        type='HourglassNet',
        downsample_times=2,
        num_stacks=2,
        stage_channels=(16, 16, 24),
        stage_blocks=(1, 1, 2),
        feat_channel=16,
    ),
    caffe=dict(type='ResNet', depth=50, base_channels=8, stem_channels=8, style='caffe'),
)


def centernet(in_channels, feat_channels, levels=1):
    return dict(
        type='mmdet_kpheads.CenterNetHead',
        num_classes=CLASSES,
        in_channels=in_channels,
        feat_channels=feat_channels,
        num_feat_levels=levels,
    )


def detector(backbone, neck, head):
    cfg = dict(type='SingleStageDetector', backbone=BACKBONES[backbone], neck=neck, bbox_head=head)
    return MODELS.build(cfg)


def dla_up(deformable):
    return dict(type='mmdet_kpheads.DLAUp', in_channels=CHANNELS[2:], deformable=deformable)


def autoassign(add_extra_convs):
    neck = dict(
        type='FPN',
        in_channels=[32, 64, 128, 256],
        out_channels=32,
        start_level=1,
        add_extra_convs=add_extra_convs,
        num_outs=5,
        relu_before_extra_convs=True,
    )
    head = dict(
        type='mmdet_kpheads.AutoAssignHead',
        num_classes=CLASSES,
        in_channels=32,
        feat_channels=32,
        strides=(8, 16, 32, 64, 128),
        loss_bbox=dict(type='GIoULoss', loss_weight=5.0),
    )
    return 'caffe', neck, head


SINCE_2021 = (
    'Megvii-BaseDetection/cvpods, AutoAssign since February 2021 (P6 from P5: the config needs '
    'model.neck.add_extra_convs=on_output)'
)
# (original model, our backbone, neck and head)
MODELS_OF = {
    'xingyizhou/CenterNet, dla (deformable)': (
        lambda: authors.CenterNetDLA(CHANNELS, CLASSES, 12),
        ('dla', dla_up(True), centernet(16, 12)),
    ),
    'xingyizhou/CenterNet, dlav0 (plain)': (
        lambda: authors.CenterNetPlainDLA(CHANNELS, CLASSES, 12),
        ('dla', dla_up(False), centernet(16, 12)),
    ),
    'xingyizhou/CenterNet, resdcn': (
        lambda: authors.CenterNetResNet(8, (16, 12, 8), CLASSES, 12, deformable=True),
        (
            'resnet',
            dict(
                type='CTResNetNeck',
                in_channels=64,
                num_deconv_filters=(16, 12, 8),
                num_deconv_kernels=(4, 4, 4),
                use_dcn=True,
            ),
            centernet(8, 12),
        ),
    ),
    'xingyizhou/CenterNet, res': (
        lambda: authors.CenterNetResNet(8, (16, 16, 16), CLASSES, 12, deformable=False),
        ('resnet', dict(type='mmdet_kpheads.DeconvNeck', in_channels=64, channels=(16, 16, 16)), centernet(16, 12)),
    ),
    'xingyizhou/CenterNet, hourglass': (
        lambda: authors.CenterNetHourglass(**STACKED, classes=CLASSES),
        ('hourglass', None, centernet(16, 16, levels=2)),
    ),
    'princeton-vl/CornerNet': (
        lambda: authors.CornerNet(**STACKED, classes=CLASSES, pooled=8),
        (
            'hourglass',
            None,
            dict(
                type='mmdet_kpheads.CornerNetHead',
                num_classes=CLASSES,
                in_channels=16,
                num_feat_levels=2,
                feat_channels=16,
                pool_channels=8,
            ),
        ),
    ),
    'Megvii-BaseDetection/AutoAssign (cvpods)': (
        lambda: authors.AutoAssign(8, 32, CLASSES),
        autoassign(True),
    ),
    SINCE_2021: (
        lambda: authors.AutoAssign(8, 32, CLASSES, p6_from_p5=True),
        autoassign('on_output'),
    ),
}


def randomized(model):
    """Randomize every parameter and statistic, so that a misplaced tensor changes the output."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 2.0, generator=generator)
        elif value.is_floating_point() and value.dim() == 1:
            value.normal_(0.0, 0.3, generator=generator)
        elif value.is_floating_point():
            fan_in = max(1, value[0].numel())
            value.normal_(0.0, (2 / fan_in) ** 0.5, generator=generator)
    return model.eval()


def flat(outputs):
    for item in outputs:
        if isinstance(item, torch.Tensor):
            yield item
        else:
            yield from flat(item)


@pytest.mark.usefixtures('mmdet_scope')
@pytest.mark.parametrize('name', MODELS_OF)
def test_converted_weights_reproduce_the_outputs(name):
    build, ours = MODELS_OF[name]
    theirs = randomized(build())
    saved = {f'module.{key}': value for key, value in theirs.state_dict().items()}
    converted = convert({'epoch': 7, 'state_dict': saved})
    assert converted.source == name
    model = detector(*ours).eval()
    load_whole(model, converted.weights, 'foreign.pth', name)  # the command compares shapes the same way
    model.load_state_dict(converted.weights, strict=True)
    image = torch.randn(2, 3, PX, PX)
    with torch.no_grad():
        expected, found = list(flat(theirs(image))), list(flat(model._forward(image)))
    assert len(found) == len(expected)
    # constant maps would prove nothing
    assert all(their_map.std() > 1e-3 for their_map in expected if their_map.shape[-1] > 4)
    for ours_map, their_map in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_map, their_map, rtol=1e-4, atol=1e-4)


def test_report_lists_what_was_left_out_and_folded():
    build, _ = MODELS_OF['xingyizhou/CenterNet, dla (deformable)']
    converted = convert(build().state_dict())
    unused = ('base.fc.', 'base.level3.project.', 'base.level4.project.')
    assert converted.left_out and all(name.startswith(unused) for name in converted.left_out)
    assert len(converted.folded) == 16  # proj and node of 1 + 2 + 3 joins, and of the last 2
    report = converted.report()
    assert 'recognized as xingyizhou/CenterNet, dla' in report and 'folded 16 biases' in report
    assert (
        "left out 14 tensors of ('base.level3.project.0', 'base.level3.project.1', " in report and "'base.fc'" in report
    )


@pytest.mark.usefixtures('mmdet_scope')
@pytest.mark.parametrize('name', ['xingyizhou/CenterNet, resdcn', 'princeton-vl/CornerNet'])
def test_mmdet_checkpoints_keep_their_names(name):
    _, ours = MODELS_OF[name]
    backbone, neck, head = ours
    if name.endswith('resdcn'):
        backbone = 'deformable'
    model = detector(backbone, neck, head)
    now = model.state_dict()
    old = {key.replace('.conv_offset.', '_offset.'): value for key, value in now.items()}
    old['ema_backbone_conv1_weight'] = torch.ones(1)
    assert (set(old) & set(now) != set(now)) == (backbone == 'deformable')
    for saved, left_out in ((now, []), (old, ['ema_backbone_conv1_weight'])):
        converted = convert({'meta': {}, 'state_dict': saved})
        assert (converted.source, converted.left_out, converted.folded) == ('mmdet', left_out, [])
        load_whole(model, converted.weights, 'foreign.pth', name)
        assert all(torch.equal(value, now[key]) for key, value in converted.weights.items())


@pytest.mark.usefixtures('mmdet_scope')
def test_biases_in_front_of_a_norm_are_kept_if_the_model_has_them():
    """AutoAssign's towers have biases in front of their norms."""
    _, (backbone, neck, head) = MODELS_OF['Megvii-BaseDetection/AutoAssign (cvpods)']
    with pytest.warns(KpheadsWarning, match='group normalization'):
        model = detector(backbone, neck, head | dict(norm_cfg=dict(type='BN')))
    converted = convert({'state_dict': model.state_dict()})
    assert not converted.folded
    load_whole(model, converted.weights, 'foreign.pth', 'BN')


def test_unknown_names_are_listed():
    build, _ = MODELS_OF['princeton-vl/CornerNet']
    state = build().state_dict() | {'extra_head.weight': torch.ones(1)}
    with pytest.raises(InputError, match=r"princeton-vl/CornerNet: 1 unknown names, \('extra_head.weight'\)"):
        convert(state)
    assert 'extra_head.weight' in convert(state, ignore=r'extra_head\..*').left_out


def test_unknown_checkpoint_is_refused():
    with pytest.raises(InputError, match=r"none of the known sources .* first names are \('encoder.weight'\)"):
        convert({'model': {'encoder.weight': torch.ones(1)}})
    with pytest.raises(InputError, match=r"contains no weights; its keys are \('epoch'\)"):
        convert({'epoch': 3})


@pytest.mark.usefixtures('mmdet_scope')
def test_folding_biases_changes_no_output_in_training():
    """Batch norm subtracts the batch mean, which cancels a constant bias in front of it."""
    build, ours = MODELS_OF['xingyizhou/CenterNet, resdcn']
    theirs = randomized(build())
    model = detector(*ours)
    model.load_state_dict(convert(theirs.state_dict()).weights)
    image = torch.randn(2, 3, PX, PX)
    expected, found = list(flat(theirs.train()(image))), list(flat(model.train()._forward(image)))
    for ours_map, their_map in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_map, their_map, rtol=1e-3, atol=1e-3)
