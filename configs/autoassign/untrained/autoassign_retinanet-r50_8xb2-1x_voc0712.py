# mmdet's RetinaNet with ResNet-50 on PASCAL VOC 2007 + 2012, its head replaced by AutoAssignHead.
#
#   python tools/train.py autoassign/untrained/autoassign_retinanet-r50_8xb2-1x_voc0712.py
#   python tools/test.py autoassign/untrained/autoassign_retinanet-r50_8xb2-1x_voc0712.py CHECKPOINT
#
# Expected AP: not measured.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../../_base_/models/autoassign_head.py',
    '../../_base_/datasets/voc0712_600.py', '../../_base_/schedules/sgd_12e.py', '../../_base_/default_runtime.py'
]

max_detections = 100

model = dict(
    # difficult objects are not background
    bbox_head=dict(_delete_=True, num_classes=20, ignore_regions=True, **_base_.autoassign_head),
    test_cfg=dict(max_per_img=max_detections))
