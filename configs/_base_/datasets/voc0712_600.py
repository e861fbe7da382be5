# PASCAL VOC 2007 + 2012 for training, 2007 test for testing; the shorter side 600, the longer one at most 1000.
_base_ = './voc0712.py'
image_scale = (1000, 600)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances')),
]

# a list is taken as a whole: the data set's parts keep all but their pipeline
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.dataset.datasets[0].pipeline = train_pipeline
train_dataloader.dataset.dataset.datasets[1].pipeline = train_pipeline
train_dataloader.dataset.times = 2  # 12 epochs of two passes each
train_dataloader.batch_size = 2
train_dataloader.num_workers = 2
train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
