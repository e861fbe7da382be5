# CenterNet with a slim ResNet-18 for a CPU: template for a custom dataset in VOC format. `mmdet-kpheads init` fills it in.
#
#   python tools/check_dataset.py my_config.py
#   python tools/train.py my_config.py
#   python tools/test.py my_config.py work_dirs/my_config/epoch_50.pth --show-dir visualizations
#
# Expected AP: depends on your data. Tests build this file and run training steps of it; it was not trained as written.
_base_ = ['mmdet_kpheads::_base_/models/centernet_narrow.py', 'mmdet_kpheads::_base_/custom_small_voc.py']

classes = ('first', 'second')  # the names in the XML files; for one class ('ship', ) with its comma
data_root = 'data/mine/VOC2007/'
train_list, val_list = 'ImageSets/Main/train.txt', 'ImageSets/Main/val.txt'
test_list = val_list
image_size = (320, 320)  # width, height
batch_size = 8
max_epochs = 50
learning_rate = 2e-3  # for 16 images per step; scaled to the total batch size
# start from a detector's checkpoint, or without one from weights of the backbone: a file, an address, or None
load_from = None
pretrained = None
max_detections = 100  # per image; the evaluator counts as many

model = dict(
    data_preprocessor=dict(pad_size_divisor=max(image_size)),  # to the size of a training batch
    backbone=dict(init_cfg=pretrained and dict(type='Pretrained', checkpoint=pretrained)),
    bbox_head=dict(num_classes=len(classes), ignore_regions=True),
    test_cfg=dict(topk=max_detections, max_per_img=max_detections))
train_pipeline, test_pipeline = _base_.train_pipeline, _base_.test_pipeline
train_pipeline[2].scale = train_pipeline[3].crop_size = test_pipeline[1].scale = image_size
data = dict(metainfo=dict(classes=classes), data_root=data_root)
train_dataloader = dict(batch_size=batch_size, dataset=dict(ann_file=train_list, pipeline=train_pipeline, **data))
val_dataloader = dict(dataset=dict(ann_file=val_list, pipeline=test_pipeline, **data))
test_dataloader = dict(dataset=dict(ann_file=test_list, pipeline=test_pipeline, **data))
val_evaluator = _base_.val_evaluator
val_evaluator[1].proposal_nums = (100, 300, max(1000, max_detections))
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=learning_rate))
