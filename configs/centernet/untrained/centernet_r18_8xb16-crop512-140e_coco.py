# CenterNet with ResNet-18 on COCO: mmdet's published recipe with its crop transform (RandomCenterCropPad).
#
#   python tools/train.py centernet/untrained/centernet_r18_8xb16-crop512-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18_8xb16-crop512-140e_coco.py CHECKPOINT
#
# Expected AP: 25.9 on COCO val2017 (mmdet, configs/centernet/metafile.yml, 8 GPUs). Not trained here. mmdet's
# centernet_resnet18_140e_coco_20210705_093630-bb5b3bf7.pth loads into this config.
_base_ = [
    '../../_base_/models/centernet_r18.py', '../../_base_/datasets/coco_keep_res.py',
    '../../_base_/schedules/sgd_140e.py', '../../_base_/default_runtime.py'
]

crop_size = (512, 512)

train_pipeline = _base_.train_pipeline
train_pipeline[3:5] = [
    dict(crop_size=crop_size, **_base_.center_crop, **_base_.black),
    dict(type='Resize', scale=crop_size, keep_ratio=True),
]

model = dict(data_preprocessor=dict(pad_size_divisor=1), bbox_head=dict(num_classes=80))  # the transforms pad
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
tta_pipeline = {{_base_.test_pipeline}}
