# A small CornerNet with ResNet-18 on COCO, plain transforms.
#
#   python tools/train.py cornernet/untrained/cornernet_r18_8xb16-140e_coco.py
#   python tools/test.py cornernet/untrained/cornernet_r18_8xb16-140e_coco.py CHECKPOINT
#
# Expected AP: not measured.
_base_ = [
    '../../_base_/models/cornernet_r18.py', '../../_base_/datasets/coco.py', '../../_base_/schedules/sgd_140e.py',
    '../../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=80))
tta_pipeline = {{_base_.test_pipeline}}
