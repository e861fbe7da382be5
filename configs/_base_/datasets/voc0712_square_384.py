# PASCAL VOC 2007 + 2012 tested as in CenterNet's repository: the longer side 384, centered on a black square.
# Training uses crops of at most 384 x 384 with color distortion.
_base_ = ['./voc0712.py', './center_crop_pad.py']
image_size = (384, 384)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = train_pipeline[3].crop_size = image_size
train_pipeline.insert(2, dict(type='PhotoMetricDistortion'))
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(**_base_.center_pad, **_base_.black, test_pad_mode=['size_divisor', 384]),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'instances')),
]

train_dataloader = _base_.train_dataloader  # changed in place: a list in a config replaces the list of its base
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
train_dataloader.batch_size = 32
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
