# COCO 2017 for pyramids of strides 8 to 128: the shorter side 800, the longer one at most 1333.
_base_ = './coco.py'
image_scale = (1333, 800)

train_pipeline = _base_.train_pipeline
train_pipeline[2:4] = [dict(type='Resize', scale=image_scale, keep_ratio=True)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(times=1, dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
