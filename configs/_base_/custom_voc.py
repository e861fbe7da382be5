# The same in VOC format.
_base_ = './custom.py'

# XMLDataset and not VOCDataset: under that type VOCMetric prints the names of PASCAL's 20 classes
voc = dict(dataset=dict(type='XMLDataset', data_prefix=dict(sub_data_root='')))
train_dataloader = voc
val_dataloader = voc
test_dataloader = voc

val_evaluator = [
    dict(type='VOCMetric', metric='mAP', eval_mode='area'),
    dict(type='CocoMetric', metric='bbox'),
]
test_evaluator = val_evaluator
