# A small CornerNet on PASCAL VOC 2007 + 2012, plain transforms.
#
#   python tools/train.py cornernet/cornernet_r18_8xb16-140e_voc0712.py
#
# Expected AP: not measured. 28 epochs of five passes each, as on COCO.
_base_ = [
    '../_base_/models/cornernet_r18.py', '../_base_/datasets/voc0712.py', '../_base_/schedules/sgd_140e.py',
    '../_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=20, ignore_regions=True))  # difficult objects are no background
