# COCO 2017 tested as in CenterNet's repository: images at their own size, in the middle of black up to the next multiple
# of 32. Trained on crops of at most 512 x 512, with colors that vary.
_base_ = './coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(
    type='PhotoMetricDistortion',
    brightness_delta=32,
    contrast_range=(0.5, 1.5),
    saturation_range=(0.5, 1.5),
    hue_delta=18))
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='RandomCenterCropPad',  # in test mode it only pads; black is 0 before the normalization
        mean=[0, 0, 0],
        std=[1, 1, 1],
        to_rgb=True,
        ratios=None,
        border=None,
        test_mode=True,
        test_pad_mode=['logical_or', 31],
        test_pad_add_pix=1),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border')),
]

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
