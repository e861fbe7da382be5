# CenterNet with ResNet-18 on PASCAL VOC 2007 + 2012, 384 x 384, after CenterNet's repository (resdcn_18): its optimizer,
# schedule, Gaussian radius, statistics and test; the training transforms are ours.
#
#   python tools/train.py centernet/centernet_r18-dcnv2_1xb32-70e_voc0712-384.py
#   python tools/test.py centernet/centernet_r18-dcnv2_1xb32-70e_voc0712-384.py CHECKPOINT --tta
#
# Expected AP: mAP 72.6 on VOC 2007 test with flip test (CenterNet repository, readme/MODEL_ZOO.md); ours is not
# measured. Its ctdet_pascal_resdcn18_384.pth loads after tools/convert_checkpoint.py.
_base_ = [
    '../_base_/models/centernet_r18.py', '../_base_/datasets/voc0712_square_384.py',
    '../_base_/schedules/adam_70e_voc.py', '../_base_/default_runtime.py'
]

model = dict(
    # the repository applies ImageNet's RGB statistics to BGR images (src/lib/datasets/dataset/pascal.py)
    data_preprocessor=dict(bgr_to_rgb=False),
    neck=dict(use_dcn=True),
    # difficult objects are no background, as in our other VOC configs and unlike there
    bbox_head=dict(num_classes=20, radius='legacy', ignore_regions=True))
tta_pipeline = {{_base_.test_pipeline}}
