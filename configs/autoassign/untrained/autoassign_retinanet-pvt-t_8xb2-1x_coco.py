# mmdet's RetinaNet with a pyramid vision transformer (PVT-Tiny) on COCO, its head replaced by AutoAssignHead.
#
#   python tools/train.py autoassign/untrained/autoassign_retinanet-pvt-t_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_retinanet-pvt-t_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. RetinaNet itself: 36.6 (mmdet).
_base_ = '../../_base_/retinanet_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='PyramidVisionTransformer',
        num_layers=[2, 2, 2, 2],
        init_cfg=dict(checkpoint='https://github.com/whai362/PVT/releases/download/v2/pvt_tiny.pth')),
    neck=dict(in_channels=[64, 128, 320, 512]))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.0001, weight_decay=0.0001))
