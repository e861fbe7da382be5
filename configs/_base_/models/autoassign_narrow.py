# AutoAssign on the narrow ResNet-18 with FPN, strides 8 to 32.
_base_ = './centernet_narrow.py'

model = dict(
    type='AutoAssign',
    neck=dict(start_level=1, num_outs=3),
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.AutoAssignHead',
        in_channels=32,
        feat_channels=32,
        stacked_convs=2,
        strides=(8, 16, 32),
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        loss_bbox=dict(type='GIoULoss', loss_weight=5.0),
        force_topk=True),
    test_cfg=dict(
        _delete_=True,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img={{_base_.max_detections}}))
find_unused_parameters = False
