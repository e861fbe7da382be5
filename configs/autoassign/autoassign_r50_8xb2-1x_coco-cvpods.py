# For the authors' weights (Megvii-BaseDetection/AutoAssign, written with cvpods): its statistics of BGR images.
#
#   python tools/convert_checkpoint.py autoassign/autoassign_r50_8xb2-1x_coco-cvpods.py model_final.pth autoassign_cvpods.pth
#   python tools/test.py autoassign/autoassign_r50_8xb2-1x_coco-cvpods.py autoassign_cvpods.pth
#   python tools/train.py autoassign/autoassign_r50_8xb2-1x_coco-cvpods.py
#
# Expected AP: 40.5 on COCO val2017 (the authors); ours is not measured. They take the threshold and the best 1000 on
# class times objectness, mmdet and this head on the class alone.
_base_ = './autoassign_r50_8xb2-1x_coco.py'

model = dict(
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675]),
    bbox_head=dict(force_topk=False))  # as the authors train
