# mmdet's RetinaNet with ResNet-18 on PASCAL VOC 2007 + 2012, its head replaced by AutoAssignHead.
#
#   python tools/train.py autoassign/untrained/autoassign_retinanet-r18_8xb2-1x_voc0712.py
#   python tools/test.py autoassign/untrained/autoassign_retinanet-r18_8xb2-1x_voc0712.py CHECKPOINT
#
# Expected AP: not measured.
_base_ = './autoassign_retinanet-r50_8xb2-1x_voc0712.py'

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]))
