# CornerNet with Hourglass-104 on COCO: mmdet's published recipe with its crop transform (RandomCenterCropPad), 8 GPUs
# x 6 images.
#
#   python tools/train.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e_coco.py
#   python tools/test.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e_coco.py CHECKPOINT --tta
#
# Expected AP: 41.2 on COCO val2017 with flip TTA (mmdet, configs/cornernet/metafile.yml, 8 GPUs x 6 images). Not
# trained here.
_base_ = [
    '../../_base_/models/cornernet_r18.py', '../../_base_/models/backbones.py', '../../_base_/datasets/coco.py',
    '../../_base_/datasets/center_crop_pad.py', '../../_base_/schedules/adam_210e.py',
    '../../_base_/default_runtime.py'
]

crop_size = (511, 511)
colors = dict(mean=_base_.imagenet_rgb.mean, std=_base_.imagenet_rgb.std)  # padding with the mean color

model = dict(
    data_preprocessor=dict(pad_size_divisor=1),  # the transforms pad
    backbone=dict(_delete_=True, **_base_.hourglass104),
    neck=None,
    # test_cfg has no score_thr: the published AP is that of mmdet's head, which never reads its 0.05
    bbox_head=dict(num_classes=80, in_channels=256, num_feat_levels=2))

train_pipeline = _base_.train_pipeline
train_pipeline[2:4] = [
    dict(type='PhotoMetricDistortion'),
    dict(crop_size=crop_size, **_base_.center_crop, **colors),
    dict(type='Resize', scale=crop_size, keep_ratio=False),
]
# images are tested at their own size, padded to 128 n - 1; the border is recorded for the head
pad_to_127 = dict(crop_size=None, test_pad_mode=['logical_or', 127], **_base_.center_pad, **colors)
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    pad_to_127,
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border')),
]
tta_pipeline = test_pipeline

train_dataloader = dict(
    batch_size=6, num_workers=3, dataset=dict(dataset=dict(pipeline=train_pipeline), times=1))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# the learning rate is for 8 GPUs x 6 images
auto_scale_lr = dict(base_batch_size=48)
