# CenterNet with DLA-34 and deformable up-sampling on PASCAL VOC 2007 + 2012, 512 x 512: dla_34.
#
#   python tools/train.py centernet/centernet_dla34-dcnv2_1xb32-70e_voc0712-512.py
#   python tools/test.py centernet/centernet_dla34-dcnv2_1xb32-70e_voc0712-512.py CHECKPOINT --tta
#
# Expected AP: mAP 80.7 on VOC 2007 test with flip test (CenterNet repository, readme/MODEL_ZOO.md); ours is not
# measured. Its ctdet_pascal_dla_512.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_r18-dcnv2_1xb32-70e_voc0712-512.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_kpheads.DLA',
        init_cfg=dict(type='Pretrained', checkpoint='http://dl.yf.io/dla/models/imagenet/dla34-ba72cf86.pth')),
    neck=dict(_delete_=True, type='mmdet_kpheads.DLAUp', in_channels=(64, 128, 256, 512), deformable=True),
    bbox_head=dict(feat_channels=256))
