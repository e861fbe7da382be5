# The same in four epochs and with a fixed seed, for minutes on a CPU.
_base_ = './adamw_cosine.py'

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = 1
param_scheduler[1].update(begin=1, end=max_epochs, T_max=max_epochs - 1)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
randomness = dict(seed=0)
