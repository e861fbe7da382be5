# CenterNet with ResNet-18 and three transposed convolutions; `num_classes` is set by the recipe.
_base_ = './statistics.py'

max_detections = 100

model = dict(
    type='CenterNet',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32, **_base_.imagenet_rgb),
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
        type='mmdet_kpheads.CenterNetHead',
        in_channels=64,
        feat_channels=64,
        loss_center_heatmap=dict(type='mmdet_kpheads.GaussianFocalLoss', loss_weight=1.0),
        loss_wh=dict(type='L1Loss', loss_weight=0.1),
        loss_offset=dict(type='L1Loss', loss_weight=1.0)),
    train_cfg=None,
    test_cfg=dict(topk=max_detections, local_maximum_kernel=3, max_per_img=max_detections))

# --tta: the maps of the image and of its mirror image are averaged, as in the paper
tta_model = dict(type='mmdet_kpheads.FlipAverage')
