# CornerNet on the narrow ResNet-18 with FPN.
_base_ = './centernet_narrow.py'

model = dict(
    type='CornerNet',
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.CornerNetHead',
        in_channels=32,
        num_feat_levels=1,
        feat_level=0,
        feat_channels=32,
        pool_channels=32,
        loss_embedding=dict(type='AssociativeEmbeddingLoss', pull_weight=0.1, push_weight=0.1)),
    test_cfg=dict(
        _delete_=True,
        corner_topk=100,
        max_per_img={{_base_.max_detections}},
        nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian')))
