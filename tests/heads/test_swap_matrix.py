"""Every head on every kind of backbone and neck: one training step and one prediction, by config alone."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from tests.scenes import well_formed
from tests.tables import require_table
from tests.training import samples_of, summed

SIZE, CLASSES = 64, 3
RESNET = dict(type='ResNet', depth=18, base_channels=8, norm_eval=False)
DLA_CHANNELS = (8, 8, 16, 16, 24, 32)
PYRAMID = dict(type='FPN', out_channels=16, num_outs=4)
# backbone, neck, and the strides of the features that reach the head
BODIES = {
    'ResNet + CTResNetNeck': (
        RESNET,
        dict(
            type='CTResNetNeck',
            in_channels=64,
            num_deconv_filters=(32, 16, 16),
            num_deconv_kernels=(4, 4, 4),
            use_dcn=False,
        ),
        (4,),
    ),
    'ResNet + FPN': (RESNET, PYRAMID | dict(in_channels=[8, 16, 32, 64]), (4, 8, 16, 32)),
    'Hourglass': (
        dict(
            type='HourglassNet',
            downsample_times=2,
            num_stacks=1,
            stage_channels=[16, 16, 16],
            stage_blocks=[1, 1, 1],
            feat_channel=16,
        ),
        None,
        (4,),
    ),
    'HRNet + HRFPN': (
        dict(
            type='HRNet',
            extra={
                f'stage{stage}': dict(
                    num_modules=1,
                    num_branches=stage,
                    block='BOTTLENECK' if stage == 1 else 'BASIC',
                    num_blocks=(1,) * stage,
                    num_channels=tuple(8 * 2**branch for branch in range(stage)),
                )
                for stage in (1, 2, 3, 4)
            },
        ),
        dict(type='HRFPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4),
        (4, 8, 16, 32),
    ),
    'DLA + DLAUp': (
        dict(type='mmdet_kpheads.DLA', channels=DLA_CHANNELS),
        dict(type='mmdet_kpheads.DLAUp', in_channels=DLA_CHANNELS[2:], deformable=True),
        (4,),
    ),
    'DLA + FPN': (
        dict(type='mmdet_kpheads.DLA', channels=DLA_CHANNELS),
        PYRAMID | dict(in_channels=list(DLA_CHANNELS[2:])),
        (4, 8, 16, 32),
    ),
    'PVT + FPN': (
        dict(
            type='PyramidVisionTransformer',
            pretrain_img_size=SIZE,
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 2, 4, 8],
            init_cfg=None,
        ),
        PYRAMID | dict(in_channels=[8, 16, 32, 64]),
        (4, 8, 16, 32),
    ),
    'CSPNeXt + CSPNeXtPAFPN': (
        dict(type='CSPNeXt', deepen_factor=0.167, widen_factor=0.125, norm_cfg=dict(type='BN')),
        dict(
            type='CSPNeXtPAFPN', in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1, norm_cfg=dict(type='BN')
        ),
        (8, 16, 32),
    ),
}
HEADS = ('CornerNetHead', 'CenterNetHead', 'AutoAssignHead')
GIOU = dict(type='GIoULoss', loss_weight=5.0)
GROUPS = dict(type='GN', num_groups=4)


@pytest.fixture(autouse=True)
def backend():
    """Once: shapes are the same for each backend."""
    return 'auto'


def head_on(name, strides):
    """The head's config for features of these strides: heat-map heads take the finest map, AutoAssign all."""
    common = dict(num_classes=CLASSES, in_channels=16)
    finest = dict(feat_level=0) if len(strides) > 1 else {}
    return {
        'CornerNetHead': dict(type='CornerNetHead', num_feat_levels=1, pool_channels=8, **common, **finest),
        'CenterNetHead': dict(type='CenterNetHead', feat_channels=16, **common, **finest),
        'AutoAssignHead': dict(
            type='AutoAssignHead', feat_channels=16, stacked_convs=1, strides=strides, norm_cfg=GROUPS, loss_bbox=GIOU,
            **common,
        ),
    }[name]  # fmt: skip


@pytest.mark.parametrize('body', BODIES)
@pytest.mark.parametrize('head', HEADS)
def test_one_training_step_and_one_prediction(head, body):
    backbone, neck, strides = BODIES[body]
    options = head_on(head, strides)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(
            dict(
                type='SingleStageDetector',
                data_preprocessor=dict(type='DetDataPreprocessor'),
                backbone=backbone,
                neck=neck,
                bbox_head=options | dict(type=f'mmdet_kpheads.{head}'),
                test_cfg=dict(score_thr=0.0),
            )
        )
    samples = samples_of([well_formed(3, CLASSES, SIZE), well_formed(0, CLASSES, SIZE)], SIZE)
    inputs = torch.randn(2, 3, SIZE, SIZE)
    loss = summed(model.train().loss(inputs, samples))
    loss.backward()
    assert loss.isfinite()
    trained = [parameter.grad is not None for parameter in model.bbox_head.parameters()]
    assert all(trained)
    assert any(
        parameter.grad.abs().sum() > 0 for parameter in model.backbone.parameters() if parameter.grad is not None
    )
    with torch.no_grad():
        found = model.eval().predict(inputs, samples)
    assert all(sample.pred_instances.bboxes.isfinite().all() for sample in found)


def test_table_in_the_docs():
    rows = []
    for body, (_, _, strides) in BODIES.items():
        heat_map = 'no change' if len(strides) == 1 else '`feat_level=0`'
        points = 'no change' if len(strides) == 1 else 'all levels'
        rows.append([body, ', '.join(map(str, strides)), heat_map, heat_map, points])
    require_table('swap_matrix.md', 'swap matrix', ['backbone + neck', 'strides', *HEADS], rows)
