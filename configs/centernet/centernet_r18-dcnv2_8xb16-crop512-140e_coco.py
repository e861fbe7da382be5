# The published recipe of mmdet with deformable convolutions.
#
#   python tools/train.py centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py
#
# Expected AP: 29.5 on COCO val2017, as mmdet reports for its head (its configs/centernet/metafile.yml, 8 GPUs); its
# checkpoint centernet_resnet18_dcnv2_140e_coco_20210702_155131-c8cd631f.pth loads into this config.
_base_ = './centernet_r18_8xb16-crop512-140e_coco.py'

model = dict(neck=dict(use_dcn=True))
