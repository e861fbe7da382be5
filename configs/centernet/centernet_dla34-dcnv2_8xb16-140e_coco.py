# CenterNet with DLA-34 and deformable up-sampling: dla_34 of CenterNet's repository, 1x schedule.
#
#   python tools/train.py centernet/centernet_dla34-dcnv2_8xb16-140e_coco.py
#   python tools/test.py centernet/centernet_dla34-dcnv2_8xb16-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 36.3, with flip test 38.2, with flip and scales 40.7 on COCO val2017 (CenterNet repository,
# readme/MODEL_ZOO.md); ours is not measured. Its ctdet_coco_dla_1x.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_r18-dcnv2_4xb28-140e_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet_kpheads.DLA',
        init_cfg=dict(type='Pretrained', checkpoint='http://dl.yf.io/dla/models/imagenet/dla34-ba72cf86.pth')),
    neck=dict(_delete_=True, type='mmdet_kpheads.DLAUp', in_channels=(64, 128, 256, 512), deformable=True),
    bbox_head=dict(feat_channels=256))
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=128)
