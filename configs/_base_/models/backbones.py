# Backbones that several recipes share.
hourglass104 = dict(
    type='HourglassNet',
    downsample_times=5,
    num_stacks=2,
    stage_channels=[256, 256, 384, 384, 384, 512],
    stage_blocks=[2, 2, 2, 2, 2, 4],
    norm_cfg=dict(type='BN', requires_grad=True))

# DLA-34 with its authors' ImageNet weights, and CenterNet's deformable up-sampling on it
dla34 = dict(
    type='mmdet_kpheads.DLA',
    init_cfg=dict(type='Pretrained', checkpoint='http://dl.yf.io/dla/models/imagenet/dla34-ba72cf86.pth'))
dla34_up = dict(type='mmdet_kpheads.DLAUp', in_channels=(64, 128, 256, 512), deformable=True)

# changes of CenterNet's ResNet-18
resnet101 = dict(depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-5d3b4d8f.pth'))
