# CenterNet with DLA-34 and deformable up-sampling on COCO: dla_34 of CenterNet's repository, 1x schedule.
#
#   python tools/train.py centernet/untrained/centernet_dla34-dcnv2_8xb16-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_dla34-dcnv2_8xb16-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 36.3 on COCO val2017, 38.2 with flip TTA, 40.7 with flip and multi-scale TTA (CenterNet repository,
# readme/MODEL_ZOO.md). Not trained here. ctdet_coco_dla_1x.pth loads after tools/convert_checkpoint.py.
_base_ = ['./centernet_r18-dcnv2_4xb28-140e_coco.py', '../../_base_/models/backbones.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.dla34),
    neck=dict(_delete_=True, **_base_.dla34_up),
    bbox_head=dict(feat_channels=256))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=128)
