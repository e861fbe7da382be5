# CenterNet with ResNet-101 and deformable convolutions on COCO: resdcn_101 of CenterNet's repository.
#
#   python tools/train.py centernet/untrained/centernet_r101-dcnv2_8xb12-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r101-dcnv2_8xb12-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 34.6 on COCO val2017, 36.2 with flip TTA, 39.3 with flip and multi-scale TTA (CenterNet repository,
# readme/MODEL_ZOO.md). Not trained here. ctdet_coco_resdcn101.pth loads after tools/convert_checkpoint.py.
_base_ = ['./centernet_r18-dcnv2_4xb28-140e_coco.py', '../../_base_/models/backbones.py']

model = dict(backbone=_base_.resnet101, neck=dict(in_channels=2048))
train_dataloader = dict(batch_size=12)
optim_wrapper = dict(optimizer=dict(lr=3.75e-4))
auto_scale_lr = dict(base_batch_size=96)
