# mmdet's RetinaNet recipes on COCO with AutoAssignHead: what ResNet-18, ResNet-50 and PVT share.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', 'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py', './checks.py',
    './models/autoassign_head.py'
]

model = dict(bbox_head=dict(_delete_=True, num_classes=80, **_base_.autoassign_head))
optim_wrapper = dict(optimizer=dict(lr=0.01), clip_grad=dict(max_norm=35, norm_type=2))

# not needed for the swap: settings of all recipes of this package
max_detections = 100
val_evaluator = dict(proposal_nums=(100, 300, 1000))
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=True)
