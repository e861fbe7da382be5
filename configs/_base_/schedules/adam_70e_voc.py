# The schedule of CenterNet's repository for VOC: 70 passes (14 epochs of five), Adam, steps at 45 and 60.
_base_ = './sgd_140e.py'

train_cfg = dict(max_epochs=14)
param_scheduler = [dict(type='MultiStepLR', begin=0, end=14, by_epoch=True, milestones=[9, 12], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1.25e-4))

# the learning rate is for 32 images per step, the repository's default
auto_scale_lr = dict(base_batch_size=32)
