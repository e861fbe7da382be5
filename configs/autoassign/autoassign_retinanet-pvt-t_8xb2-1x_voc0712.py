# mmdet's RetinaNet with a pyramid vision transformer (PVT-Tiny), its head replaced by ours, on PASCAL VOC 2007 + 2012.
#
#   python tools/train.py autoassign/autoassign_retinanet-pvt-t_8xb2-1x_voc0712.py
#
# Expected AP: not measured.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/voc0712_600.py', '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime.py'
]

max_detections = 100

model = dict(
    backbone=dict(
        _delete_=True,
        type='PyramidVisionTransformer',
        num_layers=[2, 2, 2, 2],
        init_cfg=dict(checkpoint='https://github.com/whai362/PVT/releases/download/v2/pvt_tiny.pth')),
    neck=dict(in_channels=[64, 128, 320, 512]),
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
val_evaluator = [
    dict(type='VOCMetric', metric='mAP', eval_mode='11points'),
    dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, max(1000, max_detections))),
]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.0001, weight_decay=0.0001))
