# mmdet's RetinaNet with ResNet-50, its head replaced by ours, on PASCAL VOC 2007 + 2012.
#
#   python tools/train.py autoassign/autoassign_retinanet-r50_8xb2-1x_voc0712.py
#
# Expected AP: not measured.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/voc0712_600.py', '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime.py'
]

max_detections = 100

model = dict(
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.AutoAssignHead',
        num_classes=20,
        in_channels=256,
        strides=(8, 16, 32, 64, 128),
        force_topk=True,
        ignore_regions=True,  # difficult objects are no background
        loss_bbox=dict(type='GIoULoss', loss_weight=5.0)),
    test_cfg=dict(max_per_img=max_detections))
