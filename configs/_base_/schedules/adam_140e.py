# The 1x schedule of CenterNet's repository: 140 passes over COCO (28 epochs of five), Adam, steps at 90 and 120.
_base_ = './sgd_140e.py'

param_scheduler = [dict(type='MultiStepLR', begin=0, end=28, by_epoch=True, milestones=[18, 24], gamma=0.1)]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=5e-4))

# the learning rate is for 114 images per step (experiments/ctdet_coco_resdcn18.sh)
auto_scale_lr = dict(base_batch_size=114)
