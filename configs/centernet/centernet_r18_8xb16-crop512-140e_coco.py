# The published recipe of mmdet, with its crop transform (RandomCenterCropPad).
#
#   python tools/train.py centernet/centernet_r18_8xb16-crop512-140e_coco.py
#
# Expected AP: 25.9 on COCO val2017, as mmdet reports for its head (its configs/centernet/metafile.yml, 8 GPUs); its
# checkpoint centernet_resnet18_140e_coco_20210705_093630-bb5b3bf7.pth loads into this config.
_base_ = './centernet_r18_8xb16-140e_coco.py'

crop_size = (512, 512)
# mmdet's transform works on raw values, so it pads with 0 before the normalisation
raw = dict(mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True)

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
        type='RandomCenterCropPad',
        crop_size=crop_size,
        ratios=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
        test_pad_mode=None,
        **raw),
    dict(type='Resize', scale=crop_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
# Images are tested at their own size, padded to 32 n + 1 with the border noted for the head.
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='RandomCenterCropPad',
        ratios=None,
        border=None,
        test_mode=True,
        test_pad_mode=['logical_or', 31],
        test_pad_add_pix=1,
        **raw),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border')),
]

model = dict(data_preprocessor=dict(pad_size_divisor=1))  # the transforms pad
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
tta_pipeline = test_pipeline
