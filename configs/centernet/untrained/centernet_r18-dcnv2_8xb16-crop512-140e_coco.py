# CenterNet with ResNet-18 and deformable convolutions in the neck on COCO: mmdet's published recipe.
#
#   python tools/train.py centernet/untrained/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py CHECKPOINT
#
# Expected AP: 29.5 on COCO val2017 (mmdet, configs/centernet/metafile.yml, 8 GPUs). Not trained here. mmdet's
# centernet_resnet18_dcnv2_140e_coco_20210702_155131-c8cd631f.pth loads into this config.
_base_ = './centernet_r18_8xb16-crop512-140e_coco.py'

model = dict(neck=dict(use_dcn=True))
