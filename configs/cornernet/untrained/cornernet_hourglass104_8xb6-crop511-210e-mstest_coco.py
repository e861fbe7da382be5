# Flip and multi-scale TTA for CornerNet with Hourglass-104.
#
#   python tools/test.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py
#
# Expected AP: not measured. The authors report 42.2 on COCO test-dev with flips and scales (abstract of the paper).
_base_ = './cornernet_hourglass104_8xb6-crop511-210e_coco.py'

tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms.insert(0, _base_.tta_scales)
