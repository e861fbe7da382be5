# CenterNet with ResNet-101 and deformable convolutions on PASCAL VOC 2007 + 2012, 384 x 384: resdcn_101 of
# CenterNet's repository.
#
#   python tools/train.py centernet/untrained/centernet_r101-dcnv2_1xb32-70e_voc0712-384.py
#   python tools/test.py centernet/untrained/centernet_r101-dcnv2_1xb32-70e_voc0712-384.py CHECKPOINT --tta
#
# Expected AP: mAP 77.1 on VOC 2007 test with flip TTA (CenterNet repository, readme/MODEL_ZOO.md). Not trained here.
# ctdet_pascal_resdcn101_384.pth loads after tools/convert_checkpoint.py.
_base_ = ['./centernet_r18-dcnv2_1xb32-70e_voc0712-384.py', '../../_base_/models/backbones.py']

model = dict(backbone=_base_.resnet101, neck=dict(in_channels=2048))
