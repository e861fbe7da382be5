# CenterNet with ResNet-18: template for a custom dataset in COCO format. Copy it and edit the first lines.
#
#   python tools/check_dataset.py my_config.py
#   python tools/train.py my_config.py
#   python tools/test.py my_config.py work_dirs/my_config/epoch_50.pth --show-dir visualizations
#
# Expected AP: depends on your data. Tests build this file and run training steps of it; it was not trained as written.
_base_ = [
    'mmdet_kpheads::_base_/models/centernet_r18.py', 'mmdet_kpheads::_base_/datasets/custom.py',
    'mmdet_kpheads::_base_/schedules/adamw_cosine.py', 'mmdet_kpheads::_base_/default_runtime.py'
]

classes = ('first', 'second')  # the names in the annotation file; for one class ('ship', ) with its comma
data_root = 'data/mine/'
train_json, train_images = 'annotations/train.json', 'images/'
val_json, val_images = 'annotations/val.json', 'images/'
pretrained = None  # a file or address of ResNet-18 weights: much better with few images
max_detections = 100  # per image; the evaluator counts as many

model = dict(
    backbone=dict(init_cfg=pretrained and dict(type='Pretrained', checkpoint=pretrained)),
    bbox_head=dict(num_classes=len(classes), ignore_regions=True),
    test_cfg=dict(topk=max_detections, max_per_img=max_detections))
dataset = dict(type='CocoDataset', metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(dataset=dict(ann_file=train_json, data_prefix=dict(img=train_images), **dataset))
val_dataloader = dict(dataset=dict(ann_file=val_json, data_prefix=dict(img=val_images), **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', metric='bbox', proposal_nums=(100, 300, max(1000, max_detections)))
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=10))
tta_pipeline = {{_base_.test_pipeline}}
