# CenterNet on a ResNet-18 of a quarter of its channels with FPN, for minutes on a CPU; `num_classes` is set by the recipe.
_base_ = './statistics.py'

max_detections = 100

# FPN's short paths to stride 4 learn several times faster than transposed convolutions.
model = dict(
    type='CenterNet',
    data_preprocessor=dict(type='DetDataPreprocessor', **_base_.imagenet_rgb),
    backbone=dict(type='ResNet', depth=18, base_channels=16, norm_eval=False),
    neck=dict(type='FPN', in_channels=[16, 32, 64, 128], out_channels=32, num_outs=4, norm_cfg=dict(type='BN')),
    bbox_head=dict(type='mmdet_kpheads.CenterNetHead', in_channels=32, feat_channels=32, feat_level=0),
    test_cfg=dict(topk=max_detections, max_per_img=max_detections))
find_unused_parameters = True  # on several GPUs: the head reads one level of four
