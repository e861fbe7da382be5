# CornerNet with Hourglass-104 on COCO, 32 GPUs x 3 images.
#
#   python tools/train.py cornernet/untrained/cornernet_hourglass104_32xb3-crop511-210e_coco.py
#   python tools/test.py cornernet/untrained/cornernet_hourglass104_32xb3-crop511-210e_coco.py CHECKPOINT --tta
#
# Expected AP: 40.4 on COCO val2017 with flip TTA (mmdet, configs/cornernet/metafile.yml, 32 GPUs x 3 images). Not
# trained here.
_base_ = './cornernet_hourglass104_8xb6-crop511-210e_coco.py'

train_dataloader = dict(batch_size=3)
auto_scale_lr = dict(base_batch_size=96)
