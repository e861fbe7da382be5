# CornerNet with Hourglass-104 on COCO for the authors' weights (princeton-vl/CornerNet): BGR images with their
# statistics, black padding, the mean of both stacks, the sum of both corners.
#
#   python tools/convert_checkpoint.py \
#       cornernet/untrained/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py \
#       CornerNet_500000.pkl cornernet_princeton.pth
#   python tools/test.py \
#       cornernet/untrained/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py \
#       cornernet_princeton.pth --tta
#   python tools/train.py cornernet/untrained/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py
#
# Expected AP: 42.2 on COCO test-dev with flips and scales (abstract of the paper). Not trained here. --tta flips at
# one scale.
_base_ = './cornernet_hourglass104_10xb5-crop511-210e_coco.py'

model = dict(
    data_preprocessor=_base_.coco_bgr,
    bbox_head=dict(
        stack_reduction='mean',
        # the head takes the mean of both corners, the authors add them up
        loss_heatmap=dict(type='mmdet_kpheads.GaussianFocalLoss', loss_weight=2.0),
        loss_offset=dict(type='SmoothL1Loss', loss_weight=2.0)))

train_pipeline = _base_.train_pipeline
train_pipeline[3].update(_base_.black)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(_base_.black)
tta_pipeline = test_pipeline
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
