# CenterNet with ResNet-101 and deformable convolutions: resdcn_101 of CenterNet's repository.
#
#   python tools/train.py centernet/centernet_r101-dcnv2_8xb12-140e_coco.py
#   python tools/test.py centernet/centernet_r101-dcnv2_8xb12-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 34.6, with flip test 36.2, with flip and scales 39.3 on COCO val2017 (CenterNet repository,
# readme/MODEL_ZOO.md); ours is not measured. Its ctdet_coco_resdcn101.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_r18-dcnv2_4xb28-140e_coco.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-5d3b4d8f.pth')),
    neck=dict(in_channels=2048))
train_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=3.75e-4))
auto_scale_lr = dict(base_batch_size=96)
