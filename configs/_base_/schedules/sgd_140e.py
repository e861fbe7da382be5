# mmdet's schedule for CenterNet: 28 epochs of five passes over COCO, SGD, two steps.
_base_ = './common.py'

max_epochs = 28
train_cfg = dict(max_epochs=max_epochs)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[18, 24], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001))

# the learning rate is for 8 GPUs x 16 images
auto_scale_lr = dict(base_batch_size=128)
