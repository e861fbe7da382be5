# What all schedules share: loops, clipped gradients, a learning rate that is scaled to the actual total batch size.
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(enable=True)
