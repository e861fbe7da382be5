# AutoAssign with DLA-34 and FPN on COCO.
#
#   python tools/train.py autoassign/untrained/autoassign_dla34_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_dla34_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured.
_base_ = ['./autoassign_r50_8xb2-1x_coco.py', '../../_base_/models/backbones.py']

model = dict(
    data_preprocessor=_base_.imagenet_rgb,
    # two images per GPU are too few for batch statistics
    backbone=dict(_delete_=True, norm_eval=True, **_base_.dla34),
    neck=dict(in_channels=[64, 128, 256, 512]))
