# COCO 2017 tested as in CenterNet's repository: images at their own size, centered on black up to the next multiple of 32.
# Training uses crops of at most 512 x 512 with color distortion.
_base_ = ['./coco.py', './center_crop_pad.py']

train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(type='PhotoMetricDistortion'))
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(**_base_.center_pad, **_base_.black, test_pad_mode=['logical_or', 31], test_pad_add_pix=1),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border')),
]

train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
