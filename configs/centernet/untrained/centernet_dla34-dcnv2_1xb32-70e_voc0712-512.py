# CenterNet with DLA-34 and deformable up-sampling on PASCAL VOC 2007 + 2012, 512 x 512: dla_34 of CenterNet's
# repository.
#
#   python tools/train.py centernet/untrained/centernet_dla34-dcnv2_1xb32-70e_voc0712-512.py
#   python tools/test.py centernet/untrained/centernet_dla34-dcnv2_1xb32-70e_voc0712-512.py CHECKPOINT --tta
#
# Expected AP: mAP 80.7 on VOC 2007 test with flip TTA (CenterNet repository, readme/MODEL_ZOO.md). Not trained here.
# ctdet_pascal_dla_512.pth loads after tools/convert_checkpoint.py.
_base_ = ['./centernet_r18-dcnv2_1xb32-70e_voc0712-512.py', '../../_base_/models/backbones.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.dla34),
    neck=dict(_delete_=True, **_base_.dla34_up),
    bbox_head=dict(feat_channels=256))
