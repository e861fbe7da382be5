# CenterNet with Hourglass-104 on COCO, both stacks supervised: hourglass of CenterNet's repository.
#
#   python tools/train.py centernet/untrained/centernet_hourglass104_5xb5-50e_coco.py
#   python tools/test.py centernet/untrained/centernet_hourglass104_5xb5-50e_coco.py CHECKPOINT --tta
#
# Expected AP: 40.3 on COCO val2017, 42.2 with flip TTA, 45.1 with flip and multi-scale TTA (CenterNet repository,
# readme/MODEL_ZOO.md, started from ExtremeNet's weights). Not trained here. ctdet_coco_hg.pth loads after
# tools/convert_checkpoint.py.
_base_ = ['./centernet_r18-dcnv2_4xb28-140e_coco.py', '../../_base_/models/backbones.py']

model = dict(
    data_preprocessor=dict(pad_size_divisor=128),
    backbone=dict(_delete_=True, **_base_.hourglass104),
    neck=None,
    bbox_head=dict(in_channels=256, feat_channels=256, num_feat_levels=2))

# images are tested at their own size, centered on black up to the next multiple of 128
test_pipeline = _base_.test_pipeline
test_pipeline[1].test_pad_mode = ['logical_or', 127]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
tta_pipeline = test_pipeline

# 50 passes over COCO: 10 epochs of five
train_cfg = dict(max_epochs=10)
param_scheduler = [dict(type='MultiStepLR', begin=0, end=10, by_epoch=True, milestones=[8], gamma=0.1)]
train_dataloader = dict(batch_size=5)
optim_wrapper = dict(optimizer=dict(lr=2.5e-4))
auto_scale_lr = dict(base_batch_size=24)
