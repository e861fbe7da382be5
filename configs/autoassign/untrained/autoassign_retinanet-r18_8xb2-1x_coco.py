# mmdet's RetinaNet with ResNet-18 on COCO, its head replaced by AutoAssignHead.
#
#   python tools/train.py autoassign/untrained/autoassign_retinanet-r18_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_retinanet-r18_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. RetinaNet itself: 31.7 (mmdet).
_base_ = '../../_base_/retinanet_1x_coco.py'

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]))
