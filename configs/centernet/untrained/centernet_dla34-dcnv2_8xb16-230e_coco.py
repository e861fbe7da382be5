# CenterNet with DLA-34 and deformable up-sampling on COCO: dla_34 of CenterNet's repository, 2x schedule.
#
#   python tools/train.py centernet/untrained/centernet_dla34-dcnv2_8xb16-230e_coco.py
#   python tools/test.py centernet/untrained/centernet_dla34-dcnv2_8xb16-230e_coco.py CHECKPOINT --tta
#
# Expected AP: 37.4 on COCO val2017, 39.2 with flip TTA, 41.7 with flip and multi-scale TTA (CenterNet repository,
# readme/MODEL_ZOO.md). Not trained here. ctdet_coco_dla_2x.pth loads after tools/convert_checkpoint.py.
_base_ = './centernet_dla34-dcnv2_8xb16-140e_coco.py'

# 230 passes over COCO: 46 epochs of five
train_cfg = dict(max_epochs=46)
param_scheduler = [dict(type='MultiStepLR', begin=0, end=46, by_epoch=True, milestones=[36, 42], gamma=0.1)]
