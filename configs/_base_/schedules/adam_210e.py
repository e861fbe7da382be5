# mmdet's schedule for CornerNet: 210 epochs, Adam, one step, 500 iterations of warm-up.
_base_ = './common.py'

max_epochs = 210
train_cfg = dict(max_epochs=max_epochs)

param_scheduler = [
    dict(type='LinearLR', start_factor=1.0 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[180], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(type='Adam', lr=0.0005))
