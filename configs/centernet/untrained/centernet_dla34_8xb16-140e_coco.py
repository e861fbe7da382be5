# CenterNet with DLA-34 on COCO, without deformable convolutions: dlav0_34 of CenterNet's repository.
#
#   python tools/train.py centernet/untrained/centernet_dla34_8xb16-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_dla34_8xb16-140e_coco.py CHECKPOINT --tta
#
# Expected AP: not measured. The repository publishes no figure for this model.
_base_ = './centernet_dla34-dcnv2_8xb16-140e_coco.py'

model = dict(neck=dict(deformable=False))
