# Flip and multi-scale TTA for CornerNet with Hourglass-104: soft-NMS on each pass, and again on all ten.
#
#   python tools/test.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py
#
# Expected AP: not measured. The authors report 42.2 on COCO test-dev with flips and scales (abstract of the paper).
_base_ = ['./cornernet_hourglass104_8xb6-crop511-210e_coco.py', '../../_base_/tta.py']

tta_model = dict(_delete_=True, **_base_.tta_soft_nms)
tta_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='TestTimeAug',
        transforms=[_base_.tta_scales, _base_.tta_flips, [_base_.test_pipeline[1]], _base_.tta_pack]),
]
