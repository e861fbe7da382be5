# Custom datasets, plain transforms; the copied template says where the files are.
_base_ = './plain.py'

test_pipeline = _base_.test_pipeline
test_pipeline[-1].meta_keys += ('instances', )  # CocoMetric's ground truth where there is no COCO file

train_dataloader = dict(num_workers=2, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
