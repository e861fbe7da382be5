# A small CornerNet: ResNet-18 and three transposed convolutions, one level; for a single GPU or a CPU.
model = dict(
    type='CornerNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='ResNet',
        depth=18,
        norm_eval=False,
        norm_cfg=dict(type='BN'),
        # a local file works too; None starts from random weights
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet18-5c106cde.pth')),
    neck=dict(
        type='CTResNetNeck',
        in_channels=512,
        num_deconv_filters=(256, 128, 64),
        num_deconv_kernels=(4, 4, 4),
        use_dcn=False),
    bbox_head=dict(
        type='mmdet_kpheads.CornerNetHead',
        in_channels=64,
        num_feat_levels=1,
        # tags are learned late: the weights of the published configs, not the larger ones of the class
        loss_embedding=dict(type='mmdet_kpheads.AssociativeEmbeddingLoss', pull_weight=0.1, push_weight=0.1)),
    train_cfg=None,
    test_cfg=dict(
        corner_topk=100,
        local_maximum_kernel=3,
        distance_threshold=0.5,
        nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian')))

# --tta: boxes of the image and of its mirror image are merged, as in the paper
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian'), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(512, 512), keep_ratio=True)],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                               'flip_direction', 'instances'))
            ],
        ]),
]
