# AutoAssign with ResNet-50 (Caffe weights) and FPN; `num_classes` is set by the recipe.
_base_ = ['./statistics.py', './autoassign_head.py']

max_detections = 100

model = dict(
    type='AutoAssign',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32, **_base_.caffe_bgr),
    backbone=dict(
        type='ResNet',
        depth=50,
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='caffe',
        # a local file works too; None starts from random weights
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet50_caffe')),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs=True,
        num_outs=5,
        relu_before_extra_convs=True,
        init_cfg=dict(type='Caffe2Xavier', layer='Conv2d')),
    bbox_head=_base_.autoassign_head,
    train_cfg=None,
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=max_detections))
