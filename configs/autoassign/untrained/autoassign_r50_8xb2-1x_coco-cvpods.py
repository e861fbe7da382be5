# AutoAssign with ResNet-50 and FPN on COCO for the authors' weights (Megvii-BaseDetection/AutoAssign, written with
# cvpods): its statistics of BGR images.
#
#   python tools/convert_checkpoint.py autoassign/untrained/autoassign_r50_8xb2-1x_coco-cvpods.py \
#       model_final.pth autoassign_cvpods.pth
#   python tools/test.py autoassign/untrained/autoassign_r50_8xb2-1x_coco-cvpods.py autoassign_cvpods.pth
#   python tools/train.py autoassign/untrained/autoassign_r50_8xb2-1x_coco-cvpods.py
#
# Expected AP: 40.5 on COCO val2017 (the authors). Not trained here. They apply the threshold and the limit of 1000 to
# class times objectness, mmdet and this head to the class score alone.
_base_ = './autoassign_r50_8xb2-1x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675]),
    bbox_head=dict(force_topk=False))  # as the authors train
