# CornerNet with Hourglass-104 on COCO: the published recipe, with mmdet's crop transform (RandomCenterCropPad).
#
#   python tools/train.py cornernet/cornernet_hourglass104_8xb6-crop511-210e_coco.py
#   python tools/test.py cornernet/cornernet_hourglass104_8xb6-crop511-210e_coco.py CHECKPOINT --tta
#
# Expected AP: 41.2 on COCO val2017 with flip test, as mmdet reports for its head (configs/cornernet, 8 GPUs x 6 images).
_base_ = [
    '../_base_/models/cornernet_r18.py', '../_base_/datasets/coco.py', '../_base_/schedules/adam_210e.py',
    '../_base_/default_runtime.py'
]

crop_size = (511, 511)
colors = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])

model = dict(
    data_preprocessor=dict(pad_size_divisor=1),  # the transforms pad
    backbone=dict(
        _delete_=True,
        type='HourglassNet',
        downsample_times=5,
        num_stacks=2,
        stage_channels=[256, 256, 384, 384, 384, 512],
        stage_blocks=[2, 2, 2, 2, 2, 4],
        norm_cfg=dict(type='BN', requires_grad=True)),
    neck=None,
    # test_cfg has no score_thr: the published AP is that of mmdet's head, which never reads its 0.05
    bbox_head=dict(num_classes=80, in_channels=256, num_feat_levels=2))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    dict(
        type='RandomCenterCropPad',  # pads with the mean color
        crop_size=crop_size,
        ratios=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
        test_pad_mode=None,
        to_rgb=True,
        **colors),
    dict(type='Resize', scale=crop_size, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
# Images are tested at their own size, padded to 128 n - 1 with the border noted for the head.
pad_to_127 = dict(
    type='RandomCenterCropPad',
    crop_size=None,
    ratios=None,
    border=None,
    test_mode=True,
    test_pad_mode=['logical_or', 127],
    to_rgb=True,
    **colors)
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border')
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    pad_to_127,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
# The flip comes before the padding, so that the border is that of the flipped image.
tta_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [pad_to_127],
            [dict(type='PackDetInputs', meta_keys=(*meta_keys, 'flip', 'flip_direction'))],
        ]),
]

train_dataloader = dict(
    batch_size=6,
    num_workers=3,
    dataset=dict(dataset=dict(pipeline=train_pipeline), times=1))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# the learning rate is for 8 GPUs x 6 images
auto_scale_lr = dict(enable=True, base_batch_size=48)
