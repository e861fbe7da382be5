# AutoAssign with ResNeXt-101 (64 x 4d), deformable convolutions and FPN on COCO.
#
#   python tools/train.py autoassign/untrained/autoassign_x101-64x4d-dcnv2_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_x101-64x4d-dcnv2_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. The paper has this backbone with a longer schedule and other scales.
_base_ = './autoassign_r50_8xb2-1x_coco.py'

model = dict(
    data_preprocessor=_base_.imagenet_rgb,
    backbone=dict(
        _delete_=True,
        type='ResNeXt',
        depth=101,
        groups=64,
        base_width=4,
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_64x4d')))
