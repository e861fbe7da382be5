# AutoAssignHead on a pyramid of five levels; `num_classes` is set by the recipe.
autoassign_head = dict(
    type='mmdet_kpheads.AutoAssignHead',
    in_channels=256,
    strides=(8, 16, 32, 64, 128),
    # an object that contains no grid point gets the nearest ones; the published runs leave it out
    force_topk=True,
    loss_bbox=dict(type='GIoULoss', loss_weight=5.0))
