# A small CornerNet with ResNet-18 on PASCAL VOC 2007 + 2012, plain transforms.
#
#   python tools/train.py cornernet/untrained/cornernet_r18_8xb16-140e_voc0712.py
#   python tools/test.py cornernet/untrained/cornernet_r18_8xb16-140e_voc0712.py CHECKPOINT
#
# Expected AP: not measured. As on COCO, 28 epochs of five passes each.
_base_ = [
    '../../_base_/models/cornernet_r18.py', '../../_base_/datasets/voc0712.py', '../../_base_/schedules/sgd_140e.py',
    '../../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=20, ignore_regions=True))  # difficult objects are not background
tta_pipeline = {{_base_.test_pipeline}}
