# Flip and multi-scale TTA for AutoAssign with ResNet-50.
#
#   python tools/test.py autoassign/untrained/autoassign_r50_8xb2-1x-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py autoassign/untrained/autoassign_r50_8xb2-1x-mstest_coco.py
#
# Expected AP: not measured.
_base_ = ['./autoassign_r50_8xb2-1x_coco.py', '../../_base_/tta.py']

tta_model = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=100))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=scale, keep_ratio=True) for scale in ((1000, 600), (1333, 800), (1666, 1000))],
            _base_.tta_flips,
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                               'flip_direction'))
            ],
        ]),
]
