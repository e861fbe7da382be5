# CenterNet with ResNet-18 and deformable convolutions in the neck on COCO, plain transforms.
#
#   python tools/train.py centernet/untrained/centernet_r18-dcnv2_8xb16-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18-dcnv2_8xb16-140e_coco.py CHECKPOINT
#
# Expected AP: not measured. mmdet's recipe with its crop transform reaches 29.5:
# centernet_r18-dcnv2_8xb16-crop512-140e_coco.py.
_base_ = './centernet_r18_8xb16-140e_coco.py'

model = dict(neck=dict(use_dcn=True))
