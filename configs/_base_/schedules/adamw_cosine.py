# AdamW, warm-up and a cosine that is updated every iteration: trains well from random weights and in few epochs.
_base_ = './common.py'

max_epochs = 50
train_cfg = dict(max_epochs=max_epochs, val_interval=5)

# The cosine has neither begin nor end: it lasts max_epochs, whatever they are, and is multiplied by the warm-up.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01))

# the learning rate is for 16 images per step
auto_scale_lr = dict(base_batch_size=16)
