# CenterNet with ResNet-18 and transposed convolutions only on COCO: res_18 of CenterNet's repository, with the
# schedule of its resdcn_18.
#
#   python tools/train.py centernet/untrained/centernet_r18-deconv_4xb28-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18-deconv_4xb28-140e_coco.py CHECKPOINT --tta
#
# Expected AP: not measured. The repository publishes no figure for this model.
_base_ = './centernet_r18-dcnv2_4xb28-140e_coco.py'

model = dict(
    neck=dict(_delete_=True, type='mmdet_kpheads.DeconvNeck', in_channels=512), bbox_head=dict(in_channels=256))
