# CenterNet with ResNet-18 and deformable convolutions on COCO: resdcn_18 of CenterNet's repository, with its
# optimizer, schedule, Gaussian radius, pixel statistics and test. The training transforms differ: docs/zoo.md.
#
#   python tools/train.py centernet/untrained/centernet_r18-dcnv2_4xb28-140e_coco.py
#   python tools/test.py centernet/untrained/centernet_r18-dcnv2_4xb28-140e_coco.py CHECKPOINT --tta
#
# Expected AP: 28.1 on COCO val2017, 30.0 with flip TTA, 33.2 with flip and multi-scale TTA (CenterNet repository,
# readme/MODEL_ZOO.md). Not trained here. ctdet_coco_resdcn18.pth loads after tools/convert_checkpoint.py.
_base_ = [
    '../../_base_/models/centernet_r18.py', '../../_base_/datasets/coco_keep_res.py',
    '../../_base_/schedules/adam_140e.py', '../../_base_/default_runtime.py'
]

model = dict(
    data_preprocessor=_base_.coco_bgr,
    neck=dict(use_dcn=True),
    bbox_head=dict(num_classes=80, radius='legacy'))
train_dataloader = dict(batch_size=28)
tta_model = dict(average_offsets=False)  # the repository keeps the offsets of the plain image
tta_pipeline = {{_base_.test_pipeline}}
