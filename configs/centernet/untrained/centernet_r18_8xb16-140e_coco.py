# CenterNet with ResNet-18 on COCO, plain transforms.
#
#   python tools/train.py centernet/untrained/centernet_r18_8xb16-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18_8xb16-140e_coco.py CHECKPOINT
#
# Expected AP: not measured. mmdet's recipe with its crop transform reaches 25.9:
# centernet_r18_8xb16-crop512-140e_coco.py. The plain transforms take a fraction of its time and cannot hang.
_base_ = [
    '../../_base_/models/centernet_r18.py', '../../_base_/datasets/coco.py', '../../_base_/schedules/sgd_140e.py',
    '../../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=80))
tta_pipeline = {{_base_.test_pipeline}}
