# Blood cells under a microscope (BCCD, 640 x 480 pixels) in VOC format, plain transforms at half their size.
# https://github.com/Shenggan/BCCD_Dataset: its folder BCCD is data_root.
_base_ = './plain.py'

classes = ('RBC', 'WBC', 'Platelets')
data_root = 'data/BCCD/'
image_size = (320, 240)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = train_pipeline[3].crop_size = image_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_size
test_pipeline[-1].meta_keys += ('instances', )  # CocoMetric's ground truth, since there is no COCO file

# XMLDataset and not VOCDataset: under that type VOCMetric prints the names of PASCAL's 20 classes
bccd = dict(type='XMLDataset', metainfo=dict(classes=classes), data_root=data_root, data_prefix=dict(sub_data_root=''))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='RepeatDataset',
        times=4,
        dataset=dict(ann_file='ImageSets/Main/trainval.txt', pipeline=train_pipeline, **bccd)))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file='ImageSets/Main/test.txt', test_mode=True, pipeline=test_pipeline, **bccd))
test_dataloader = val_dataloader

# the same detections under three rules
val_evaluator = [
    dict(type='VOCMetric', metric='mAP', eval_mode='area', prefix='voc2012'),
    dict(type='VOCMetric', metric='mAP', eval_mode='11points', prefix='voc2007'),
    dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, 1000)),
]
test_evaluator = val_evaluator
