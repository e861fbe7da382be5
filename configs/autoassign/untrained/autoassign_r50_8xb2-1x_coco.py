# AutoAssign with ResNet-50 and FPN on COCO: the published recipe.
#
#   python tools/train.py autoassign/untrained/autoassign_r50_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_r50_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: 40.4 (mmdet) and 40.5 (the authors) on COCO val2017, both without force_topk. Not trained here.
_base_ = [
    '../../_base_/models/autoassign_r50.py', '../../_base_/datasets/coco_800.py', '../../_base_/schedules/sgd_12e.py',
    '../../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=80))
