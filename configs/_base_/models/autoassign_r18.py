# The same with ResNet-18, all of whose layers are trained.
_base_ = './autoassign_r50.py'

model = dict(
    data_preprocessor=_base_.imagenet_rgb,
    backbone=dict(
        depth=18,
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet18-5c106cde.pth')),
    neck=dict(in_channels=[64, 128, 256, 512]))
