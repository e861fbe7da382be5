# AutoAssign with DLA-34 and FPN on COCO.
#
#   python tools/train.py autoassign/autoassign_dla34_8xb2-1x_coco.py
#
# Expected AP: not measured.
_base_ = './autoassign_r50_8xb2-1x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='mmdet_kpheads.DLA',
        norm_eval=True,  # two images a GPU are too few for statistics of their own
        init_cfg=dict(type='Pretrained', checkpoint='http://dl.yf.io/dla/models/imagenet/dla34-ba72cf86.pth')),
    neck=dict(in_channels=[64, 128, 256, 512]))
