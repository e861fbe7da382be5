# CornerNet on handwritten digits: the demo, `make demo HEAD=cornernet`.
#
#   python tools/make_digits.py data/digits
#   python tools/train.py demo/cornernet_digits.py
#   python tools/test.py demo/cornernet_digits.py work_dirs/cornernet_digits/epoch_4.pth
#
# Expected AP: 68.3 (AP50 81.1) on the held-out images. Trained here, fourteen minutes on two CPU cores.
_base_ = [
    '../_base_/models/cornernet_narrow.py', '../_base_/datasets/digits.py', '../_base_/schedules/adamw_cosine_4e.py',
    '../_base_/default_runtime.py'
]

max_detections = 20

model = dict(bbox_head=dict(num_classes=len(_base_.classes)), test_cfg=dict(corner_topk=40, max_per_img=max_detections))

# corners are learned from fewer cells than centers: more and smaller steps
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
