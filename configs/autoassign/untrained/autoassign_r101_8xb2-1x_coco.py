# AutoAssign with ResNet-101 and FPN on COCO.
#
#   python tools/train.py autoassign/untrained/autoassign_r101_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_r101_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. The paper has this backbone with a longer schedule and other scales.
_base_ = './autoassign_r50_8xb2-1x_coco.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='open-mmlab://detectron2/resnet101_caffe')))
