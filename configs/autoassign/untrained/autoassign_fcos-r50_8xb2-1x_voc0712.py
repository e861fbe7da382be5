# FCOS with AutoAssignHead on PASCAL VOC 2007 + 2012: it differs from AutoAssign's detector in its extra levels.
#
#   python tools/train.py autoassign/untrained/autoassign_fcos-r50_8xb2-1x_voc0712.py
#   python tools/test.py autoassign/untrained/autoassign_fcos-r50_8xb2-1x_voc0712.py CHECKPOINT
#
# Expected AP: not measured.
_base_ = './autoassign_r50_8xb2-1x_voc0712.py'

model = dict(type='FCOS', neck=dict(add_extra_convs='on_output'))
