# CenterNet with ResNet-18 and deformable convolutions after CenterNet's repository (resdcn_18): its optimizer, schedule,
# Gaussian radius, statistics of BGR images and test; the training transforms are ours.
#
#   python tools/train.py centernet/centernet_r18-dcnv2_4xb28-140e_coco.py
#   python tools/test.py centernet/centernet_r18-dcnv2_4xb28-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 28.1, with flip test 30.0, with flip and scales 33.2 on COCO val2017 (CenterNet repository,
# readme/MODEL_ZOO.md); ours is not measured. Its ctdet_coco_resdcn18.pth loads after tools/convert_checkpoint.py.
_base_ = [
    '../_base_/models/centernet_r18.py', '../_base_/datasets/coco_keep_res.py', '../_base_/schedules/adam_140e.py',
    '../_base_/default_runtime.py'
]

model = dict(
    # mean and std of the repository's src/lib/datasets/dataset/coco.py, times 255
    data_preprocessor=dict(
        mean=[104.0136177, 114.0342201, 119.91659325], std=[73.6027614, 69.8908182, 70.91507925], bgr_to_rgb=False),
    neck=dict(use_dcn=True),
    bbox_head=dict(num_classes=80, radius='legacy'))
train_dataloader = dict(batch_size=28)
tta_pipeline = {{_base_.test_pipeline}}
