# Flip and multi-scale test of CornerNet with Hourglass-104.
#
#   python tools/test.py cornernet/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py cornernet/cornernet_hourglass104_8xb6-crop511-210e-mstest_coco.py
#
# Expected AP: not measured. The authors report 42.2 on COCO test-dev for flips and scales (abstract of the paper).
_base_ = './cornernet_hourglass104_8xb6-crop511-210e_coco.py'

# Each scale and its mirror image; the flip comes before the padding, so that the border is that of the flipped image.
tta_model = dict(
    _delete_=True,
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian'), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 0.75, 1.0, 1.25, 1.5)],
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [_base_.pad_to_127],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'flip',
                               'flip_direction'))
            ],
        ]),
]
