# CenterNet with DLA-34 without deformable convolutions: dlav0_34 of CenterNet's repository.
#
#   python tools/train.py centernet/centernet_dla34_8xb16-140e_coco.py
#   python tools/test.py centernet/centernet_dla34_8xb16-140e_coco.py CHECKPOINT --tta
#
# Expected AP: not measured; the repository publishes no figure for this model.
_base_ = './centernet_dla34-dcnv2_8xb16-140e_coco.py'

model = dict(neck=dict(deformable=False))
