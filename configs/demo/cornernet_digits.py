# CornerNet on handwritten digits; one image in five holds a single digit.
# AP50 0.811, AP 0.683 after 14 minutes on two CPU cores that had other work too.
#
#   python tools/make_digits.py data/digits
#   python tools/train.py configs/demo/cornernet_digits.py
#   python tools/test.py configs/demo/cornernet_digits.py work_dirs/cornernet_digits/epoch_4.pth
_base_ = './centernet_digits.py'

max_detections = 20

model = dict(
    type='CornerNet',
    bbox_head=dict(
        _delete_=True,
        type='mmdet_kpheads.CornerNetHead',
        num_classes=10,
        in_channels=32,
        num_feat_levels=1,
        feat_level=0,
        feat_channels=32,
        pool_channels=32,
        loss_embedding=dict(type='AssociativeEmbeddingLoss', pull_weight=0.1, push_weight=0.1)),
    test_cfg=dict(
        _delete_=True,
        corner_topk=40,
        max_per_img=max_detections,
        nms=dict(type='soft_nms', iou_threshold=0.5, method='gaussian')))

# corners are learned from less than a center is: more and smaller steps
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
