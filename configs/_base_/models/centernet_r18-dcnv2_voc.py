# CenterNet with ResNet-18 and deformable convolutions (resdcn_18) as CenterNet's repository trains it on VOC.
_base_ = './centernet_r18.py'

model = dict(
    # the repository applies ImageNet's RGB statistics to BGR images (src/lib/datasets/dataset/pascal.py)
    data_preprocessor=dict(bgr_to_rgb=False),
    neck=dict(use_dcn=True),
    # unlike there, difficult objects are not background
    bbox_head=dict(num_classes=20, radius='legacy', ignore_regions=True))
tta_model = dict(average_offsets=False)  # as there
