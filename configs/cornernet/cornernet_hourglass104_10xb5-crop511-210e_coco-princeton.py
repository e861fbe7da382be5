# For the authors' weights (princeton-vl/CornerNet): BGR images with their statistics, black padding, the mean of both
# stacks.
#
#   python tools/convert_checkpoint.py cornernet/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py \
#       CornerNet_500000.pkl cornernet_princeton.pth
#   python tools/test.py cornernet/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py cornernet_princeton.pth --tta
#   python tools/train.py cornernet/cornernet_hourglass104_10xb5-crop511-210e_coco-princeton.py
#
# Expected AP: 42.2 on COCO test-dev with flips and scales (abstract of the paper); --tta here flips at one scale. Ours is
# not measured.
_base_ = './cornernet_hourglass104_10xb5-crop511-210e_coco.py'

# db/coco.py of the repository, times 255
model = dict(
    data_preprocessor=dict(
        mean=[104.0136177, 114.0342201, 119.91659325], std=[73.6027614, 69.8908182, 70.91507925], bgr_to_rgb=False),
    bbox_head=dict(stack_reduction='mean'))

black = dict(mean=[0, 0, 0], std=[1, 1, 1])
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(black)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(black)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[1][0].update(black)
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
