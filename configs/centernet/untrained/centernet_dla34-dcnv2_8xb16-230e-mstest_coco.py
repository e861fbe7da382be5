# Flip and multi-scale TTA for CenterNet with DLA-34, at the scales of CenterNet's repository. For another model, copy
# tta_model and tta_pipeline into a config that inherits from its recipe.
#
#   python tools/test.py centernet/untrained/centernet_dla34-dcnv2_8xb16-230e-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py centernet/untrained/centernet_dla34-dcnv2_8xb16-230e-mstest_coco.py
#
# Expected AP: 41.7 on COCO val2017 (CenterNet repository, readme/MODEL_ZOO.md). Not trained here. There the maps of
# the image and its mirror image are averaged at each scale, and soft-NMS merges the scales; here soft-NMS merges all
# ten passes.
_base_ = ['./centernet_dla34-dcnv2_8xb16-230e_coco.py', '../../_base_/tta.py']

tta_model = dict(_delete_=True, **_base_.tta_soft_nms)
tta_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='TestTimeAug',
        transforms=[_base_.tta_scales, _base_.tta_flips, [_base_.test_pipeline[1]], _base_.tta_pack]),
]
