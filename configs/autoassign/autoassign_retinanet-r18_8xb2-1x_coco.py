# mmdet's RetinaNet with ResNet-18, its head replaced by ours.
#
#   python tools/train.py autoassign/autoassign_retinanet-r18_8xb2-1x_coco.py
#
# Expected AP: not measured. RetinaNet itself: 31.7 (mmdet).
_base_ = ['mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', '../_base_/checks.py']

model = dict(
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.AutoAssignHead',
        num_classes=80,
        in_channels=256,
        strides=(8, 16, 32, 64, 128),
        force_topk=True,
        loss_bbox=dict(type='GIoULoss', loss_weight=5.0)))

# not of the swap: what all configs of this package have
max_detections = 100
val_evaluator = dict(proposal_nums=(100, 300, 1000))
test_evaluator = val_evaluator
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(enable=True)
