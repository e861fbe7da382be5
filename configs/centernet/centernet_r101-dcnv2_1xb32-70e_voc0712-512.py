# CenterNet with ResNet-101 and deformable convolutions on PASCAL VOC 2007 + 2012, 512 x 512: resdcn_101.
#
#   python tools/train.py centernet/centernet_r101-dcnv2_1xb32-70e_voc0712-512.py
#   python tools/test.py centernet/centernet_r101-dcnv2_1xb32-70e_voc0712-512.py CHECKPOINT --tta
#
# Expected AP: mAP 78.7 on VOC 2007 test with flip test (CenterNet repository, readme/MODEL_ZOO.md); ours is not
# measured. Its ctdet_pascal_resdcn101_512.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_r18-dcnv2_1xb32-70e_voc0712-512.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-5d3b4d8f.pth')),
    neck=dict(in_channels=2048))
