# A small CornerNet for a single GPU or a CPU: ResNet-18, three transposed convolutions, one level.
_base_ = ['./centernet_r18.py', '../tta.py']

model = dict(
    type='CornerNet',
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.CornerNetHead',
        in_channels=64,
        num_feat_levels=1,
        # the weights of the published configs, not the larger defaults of the class: tags are learned late
        loss_embedding=dict(type='mmdet_kpheads.AssociativeEmbeddingLoss', pull_weight=0.1, push_weight=0.1)),
    test_cfg=dict(
        _delete_=True,
        corner_topk=100,
        local_maximum_kernel=3,
        distance_threshold=0.5,
        max_per_img={{_base_.max_detections}},
        nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian')))

# --tta: boxes of the image and of its mirror image are merged, as in the paper
tta_model = _base_.tta_soft_nms
