# PASCAL VOC 2007 + 2012 for training, 2007 test for testing, with plain transforms.
data_root = 'data/VOCdevkit/'
image_size = (512, 512)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.6, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=image_size, allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    # 'instances' lets CocoMetric take the truth from here, where there is no COCO file
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='RepeatDataset',
        times=5,  # 28 epochs of five passes each
        dataset=dict(
            type='ConcatDataset',
            ignore_keys=['dataset_type'],  # 'VOC2007' and 'VOC2012' differ in it
            datasets=[
                dict(
                    type='VOCDataset',
                    data_root=data_root,
                    ann_file=f'{year}/ImageSets/Main/trainval.txt',
                    data_prefix=dict(sub_data_root=f'{year}/'),
                    filter_cfg=dict(filter_empty_gt=True, min_size=32),
                    pipeline=train_pipeline) for year in ('VOC2007', 'VOC2012')
            ])))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCDataset',
        data_root=data_root,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# The rule of VOC2007 and, on the same detections, COCO's AP.
val_evaluator = [
    dict(type='VOCMetric', metric='mAP', eval_mode='11points'),
    dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, 1000)),
]
test_evaluator = val_evaluator
