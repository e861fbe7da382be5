# Custom datasets in COCO format, plain transforms; the template says where the files are.
_base_ = './plain.py'

test_pipeline = _base_.test_pipeline
test_pipeline[-1].meta_keys += ('instances', )  # CocoMetric's ground truth where there is no COCO file

train_dataloader = dict(num_workers=2, dataset=dict(type='CocoDataset', pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(type='CocoDataset', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='CocoMetric', metric='bbox')
test_evaluator = val_evaluator
