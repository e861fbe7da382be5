# PASCAL VOC 2007 + 2012 for pyramids of strides 8 to 128: the shorter side 600, the longer one at most 1000.
_base_ = './voc0712.py'
image_scale = (1000, 600)

train_pipeline = _base_.train_pipeline
train_pipeline[2:4] = [dict(type='Resize', scale=image_scale, keep_ratio=True)]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale

train_dataloader = _base_.train_dataloader  # changed in place: a list in a config replaces the list of its base
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
train_dataloader.dataset.times = 2  # 12 epochs of two passes each
train_dataloader.update(batch_size=2, num_workers=2, batch_sampler=dict(type='AspectRatioBatchSampler'))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
