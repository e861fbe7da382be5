# CornerNet with one stack (Hourglass-52) on COCO: half the memory and time of Hourglass-104.
#
#   python tools/train.py cornernet/untrained/cornernet_hourglass52_8xb6-crop511-210e_coco.py
#   python tools/test.py cornernet/untrained/cornernet_hourglass52_8xb6-crop511-210e_coco.py CHECKPOINT --tta
#
# Expected AP: not measured.
_base_ = './cornernet_hourglass104_8xb6-crop511-210e_coco.py'

model = dict(backbone=dict(num_stacks=1), bbox_head=dict(num_feat_levels=1))
find_unused_parameters = True  # mmdet's HourglassNet builds the block between stacks for one stack too
