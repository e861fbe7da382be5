# CenterNet's repository, 1x: 140 passes over COCO (28 epochs of five) with Adam, steps at 90 and 120.
_base_ = './sgd_140e.py'

param_scheduler = [dict(type='MultiStepLR', begin=0, end=28, by_epoch=True, milestones=[18, 24], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=5e-4))

# The learning rate is for 114 images a step (experiments/ctdet_coco_resdcn18.sh); it is scaled to what the run really has.
auto_scale_lr = dict(enable=True, base_batch_size=114)
