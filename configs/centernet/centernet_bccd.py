# CenterNet on the blood cells of BCCD: the narrow ResNet-18 of the demo from random weights, 240 x 320 pixels.
#
#   python tools/train.py centernet/centernet_bccd.py
#   python tools/test.py centernet/centernet_bccd.py work_dirs/centernet_bccd/epoch_4.pth
#
# Expected AP: 38.6 (AP50 72.2) on BCCD's 72 test images. Trained here, eight minutes on one CPU core.
_base_ = [
    '../_base_/models/centernet_narrow.py', '../_base_/datasets/bccd.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))
