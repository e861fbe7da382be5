# mmdet's FCOS on COCO with AutoAssignHead: the type of the head and its GIoU loss change, nothing else.
#
#   python tools/train.py autoassign/untrained/autoassign_fcos-r50_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_fcos-r50_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. FCOS itself: 36.6 (mmdet).
_base_ = ['mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', '../../_base_/checks.py']

model = dict(
    bbox_head=dict(
        type='mmdet_kpheads.AutoAssignHead', loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=5.0)))

# not needed for the swap: settings of all recipes of this package
max_detections = 100
val_evaluator = dict(proposal_nums=(100, 300, 1000))
test_evaluator = val_evaluator
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
auto_scale_lr = dict(enable=True)
