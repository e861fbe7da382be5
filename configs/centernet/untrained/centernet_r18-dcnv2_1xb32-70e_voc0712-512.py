# CenterNet with ResNet-18 and deformable convolutions on PASCAL VOC 2007 + 2012, 512 x 512: resdcn_18 of CenterNet's
# repository, with its optimizer, schedule, Gaussian radius, pixel statistics and test. The training transforms
# differ: docs/zoo.md.
#
#   python tools/train.py centernet/untrained/centernet_r18-dcnv2_1xb32-70e_voc0712-512.py
#   python tools/test.py centernet/untrained/centernet_r18-dcnv2_1xb32-70e_voc0712-512.py CHECKPOINT --tta
#
# Expected AP: mAP 75.7 on VOC 2007 test with flip TTA (CenterNet repository, readme/MODEL_ZOO.md). Not trained here.
# ctdet_pascal_resdcn18_512.pth loads after tools/convert_checkpoint.py.
_base_ = [
    '../../_base_/models/centernet_r18-dcnv2_voc.py', '../../_base_/datasets/voc0712_square_512.py',
    '../../_base_/schedules/adam_70e_voc.py', '../../_base_/default_runtime.py'
]

tta_pipeline = {{_base_.test_pipeline}}
