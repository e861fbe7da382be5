# AutoAssign with ResNet-50 and FPN on PASCAL VOC 2007 + 2012.
#
#   python tools/train.py autoassign/untrained/autoassign_r50_8xb2-1x_voc0712.py
#   python tools/test.py autoassign/untrained/autoassign_r50_8xb2-1x_voc0712.py CHECKPOINT
#
# Expected AP: not measured. 12 epochs of two passes each: AutoAssign learns its assignment and is slow at first.
_base_ = [
    '../../_base_/models/autoassign_r50.py', '../../_base_/datasets/voc0712_600.py',
    '../../_base_/schedules/sgd_12e.py', '../../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=20, ignore_regions=True))  # difficult objects are not background
