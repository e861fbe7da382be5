# CenterNet on handwritten digits: the demo, about five minutes on two CPU cores.
#
#   python tools/make_digits.py data/digits
#   python tools/train.py configs/demo/centernet_digits.py
#   python tools/test.py configs/demo/centernet_digits.py work_dirs/centernet_digits/epoch_4.pth
_base_ = ['../_base_/schedules/adamw_cosine.py', '../_base_/default_runtime.py']

classes = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
max_detections = 20
data_root = 'data/digits/'
metainfo = dict(classes=classes)

# A narrow ResNet-18. The pyramid's short ways to stride 4 learn several times faster than transposed convolutions.
model = dict(
    type='CenterNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=16, norm_eval=False),
    neck=dict(
        type='FPN', in_channels=[16, 32, 64, 128], out_channels=32, num_outs=4, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        type='mmdet_kpheads.CenterNetHead', num_classes=len(classes), in_channels=32, feat_channels=32,
        feat_level=0),
    test_cfg=dict(topk=max_detections, max_per_img=max_detections))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomAffine',
        max_rotate_degree=0,
        max_shear_degree=0,
        max_translate_ratio=0.1,
        scaling_ratio_range=(0.75, 1.25)),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=0,  # two cores: a worker would take one from the network
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/train.json',
        data_prefix=dict(img='VOC2007/JPEGImages/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/val.json',
        data_prefix=dict(img='VOC2007/JPEGImages/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/val.json',
    metric='bbox',
    proposal_nums=(1, max_detections, 100))
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min_ratio=0.01,
        convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=2e-3))
find_unused_parameters = True  # on several GPUs: the head reads one level of four
randomness = dict(seed=0)
