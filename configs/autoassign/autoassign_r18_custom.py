# Template for a data set of one's own in COCO format: copy it and edit the first lines, no other line needs it.
#
#   python tools/check_dataset.py my_config.py
#   python tools/train.py my_config.py
#   python tools/test.py my_config.py work_dirs/my_config/epoch_50.pth --show-dir pictures
_base_ = [
    'mmdet_kpheads::_base_/models/autoassign_r50.py', 'mmdet_kpheads::_base_/datasets/custom.py',
    'mmdet_kpheads::_base_/schedules/adamw_cosine.py', 'mmdet_kpheads::_base_/default_runtime.py'
]

classes = ('first', 'second')  # the names in the annotation file; one class is ('ship', ) with its comma
data_root = 'data/mine/'
train_json, train_images = 'annotations/train.json', 'images/'
val_json, val_images = 'annotations/val.json', 'images/'
pretrained = None  # a file or address of ResNet-18 weights: far better with few images
max_detections = 100  # also what the evaluator counts

metainfo = dict(classes=classes)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        depth=18,
        style='pytorch',
        frozen_stages=1 if pretrained else -1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=pretrained and dict(type='Pretrained', checkpoint=pretrained)),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(num_classes=len(classes), ignore_regions=True),
    test_cfg=dict(max_per_img=max_detections))
train_dataloader = dict(
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file=train_json,
        data_prefix=dict(img=train_images)))
val_dataloader = dict(
    dataset=dict(
        type='CocoDataset', metainfo=metainfo, data_root=data_root, ann_file=val_json, data_prefix=dict(img=val_images)))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, max(1000, max_detections)))
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=10))
