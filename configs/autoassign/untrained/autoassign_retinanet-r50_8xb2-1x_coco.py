# mmdet's RetinaNet with ResNet-50 on COCO, its head replaced by AutoAssignHead.
#
#   python tools/train.py autoassign/untrained/autoassign_retinanet-r50_8xb2-1x_coco.py
#   python tools/test.py autoassign/untrained/autoassign_retinanet-r50_8xb2-1x_coco.py CHECKPOINT
#
# Expected AP: not measured. RetinaNet itself: 36.5 (mmdet).
_base_ = ['../../_base_/retinanet_1x_coco.py', 'mmdet::retinanet/retinanet_tta.py']
