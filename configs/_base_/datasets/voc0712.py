# PASCAL VOC: 2007 + 2012 trainval for training, 2007 test for testing, plain transforms.
_base_ = './plain.py'

data_root = 'data/VOCdevkit/'

test_pipeline = _base_.test_pipeline
test_pipeline[-1].meta_keys += ('instances', )  # CocoMetric's ground truth, since there is no COCO file

train_dataloader = dict(
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
                    pipeline=_base_.train_pipeline) for year in ('VOC2007', 'VOC2012')
            ])))
val_dataloader = dict(
    dataset=dict(
        type='VOCDataset',
        data_root=data_root,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# VOC 2007's rule and, on the same detections, COCO's AP
val_evaluator = [
    dict(type='VOCMetric', metric='mAP', eval_mode='11points'),
    dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, 1000)),
]
test_evaluator = val_evaluator
