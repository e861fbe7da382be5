# PASCAL VOC 2007 + 2012 tested as in CenterNet's repository: the longer side 384, in the middle of a black square.
# Trained on crops of at most 384 x 384, with colors that vary.
_base_ = './voc0712.py'
image_size = (384, 384)

train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(
    type='PhotoMetricDistortion',
    brightness_delta=32,
    contrast_range=(0.5, 1.5),
    saturation_range=(0.5, 1.5),
    hue_delta=18))
train_pipeline[3].scale = image_size
train_pipeline[4].crop_size = image_size
test_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(
        type='RandomCenterCropPad',  # in test mode it only pads; black is 0 before the normalization
        mean=[0, 0, 0],
        std=[1, 1, 1],
        to_rgb=True,
        ratios=None,
        border=None,
        test_mode=True,
        test_pad_mode=['size_divisor', 384]),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'instances')),
]

# a list is taken as a whole: the data set's parts keep all but their pipeline
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
train_dataloader.batch_size = 32
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
