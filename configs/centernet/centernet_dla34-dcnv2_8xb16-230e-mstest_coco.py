# Flip and multi-scale test of CenterNet with DLA-34: the scales of CenterNet's repository.
#
#   python tools/test.py centernet/centernet_dla34-dcnv2_8xb16-230e-mstest_coco.py CHECKPOINT --tta
#   python tools/train.py centernet/centernet_dla34-dcnv2_8xb16-230e-mstest_coco.py
#
# Expected AP: 41.7 on COCO val2017 (CenterNet repository, readme/MODEL_ZOO.md), where the maps of image and mirror image
# are averaged at each scale and the scales merged by soft-NMS; here soft-NMS merges all ten. Ours is not measured. For
# another model copy tta_model and tta_pipeline into a delta of its config.
_base_ = './centernet_dla34-dcnv2_8xb16-230e_coco.py'

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
            [_base_.test_pipeline[1]],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'flip',
                               'flip_direction'))
            ],
        ]),
]
