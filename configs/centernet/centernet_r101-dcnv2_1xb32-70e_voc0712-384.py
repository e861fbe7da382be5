# CenterNet with ResNet-101 and deformable convolutions on PASCAL VOC 2007 + 2012, 384 x 384: resdcn_101.
#
#   python tools/train.py centernet/centernet_r101-dcnv2_1xb32-70e_voc0712-384.py
#   python tools/test.py centernet/centernet_r101-dcnv2_1xb32-70e_voc0712-384.py CHECKPOINT --tta
#
# Expected AP: mAP 77.1 on VOC 2007 test with flip test (CenterNet repository, readme/MODEL_ZOO.md); ours is not
# measured. Its ctdet_pascal_resdcn101_384.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_r18-dcnv2_1xb32-70e_voc0712-384.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-5d3b4d8f.pth')),
    neck=dict(in_channels=2048))
