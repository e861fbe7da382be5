# The published recipe of mmdet, with its crop transform (RandomCenterCropPad).
#
#   python tools/train.py centernet/centernet_r18_8xb16-crop512-140e_coco.py
#
# Expected AP: 25.9 on COCO val2017, as mmdet reports for its head (its configs/centernet/metafile.yml, 8 GPUs); its
# checkpoint centernet_resnet18_140e_coco_20210705_093630-bb5b3bf7.pth loads into this config.
_base_ = [
    '../_base_/models/centernet_r18.py', '../_base_/datasets/coco_keep_res.py', '../_base_/schedules/sgd_140e.py',
    '../_base_/default_runtime.py'
]

crop_size = (512, 512)

train_pipeline = _base_.train_pipeline
train_pipeline[3:5] = [
    dict(
        type='RandomCenterCropPad',  # works on raw values, so it pads with black before the normalization
        crop_size=crop_size,
        ratios=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
        mean=[0, 0, 0],
        std=[1, 1, 1],
        to_rgb=True,
        test_pad_mode=None),
    dict(type='Resize', scale=crop_size, keep_ratio=True),
]

model = dict(data_preprocessor=dict(pad_size_divisor=1), bbox_head=dict(num_classes=80))  # the transforms pad
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
tta_pipeline = {{_base_.test_pipeline}}
