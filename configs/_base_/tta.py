# Parts of test-time augmentation (--tta). A recipe combines them: its padding goes between tta_flips and tta_pack, so that
# the border is that of the flipped image.
tta_scales = [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 0.75, 1.0, 1.25, 1.5)]
tta_flips = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
tta_pack = [
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'border', 'flip', 'flip_direction'))
]
tta_soft_nms = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian'), max_per_img=100))
