# The crop of the papers for training, their padding for testing; the size comes from the recipe. Both work on raw values:
# with `black`, padding is 0 before the normalization.
center_crop = dict(
    type='RandomCenterCropPad',
    ratios=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
    to_rgb=True,
    test_pad_mode=None)
center_pad = dict(type='RandomCenterCropPad', ratios=None, border=None, to_rgb=True, test_mode=True)
black = dict(mean=[0, 0, 0], std=[1, 1, 1])
