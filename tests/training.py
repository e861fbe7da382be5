"""A small detector and a few optimiser steps, for curves and finiteness."""

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope

from tests.scenes import metas


def small_detector(head: str, num_classes: int, **head_options):
    """A narrow ResNet-18 with two transposed convolutions (stride 4) and the named head."""
    cfg = dict(
        type='mmdet.CenterNet',
        data_preprocessor=dict(type='mmdet.DetDataPreprocessor'),
        backbone=dict(
            type='mmdet.ResNet',
            depth=18,
            base_channels=8,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            norm_eval=False,
        ),
        neck=dict(
            type='mmdet.CTResNetNeck',
            in_channels=32,
            num_deconv_filters=(16, 8),
            num_deconv_kernels=(4, 4),
            use_dcn=False,
        ),
        bbox_head=dict(type=head, num_classes=num_classes, in_channels=8, feat_channels=8, **head_options),
        test_cfg=dict(topk=100, local_maximum_kernel=3, max_per_img=100),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg)


def samples_of(images, size):
    samples = []
    for image, meta in zip(images, metas(len(images), size), strict=True):
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = image
        samples.append(sample)
    return samples


def total_loss(model, images, size, step):
    """Summed training loss of one batch of images made from a seed."""
    inputs = torch.randn(len(images), 3, size, size, generator=torch.Generator().manual_seed(step))
    inputs = inputs.to(images[0].bboxes.device)
    losses = model.loss(inputs, samples_of(images, size))
    return sum(value for name, value in losses.items() if 'loss' in name)


def follow(model, batches, size, lr=1e-2):
    """Loss of each step of plain SGD training."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    curve = []
    for step, images in enumerate(batches):
        loss = total_loss(model, images, size, step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 35)
        optimizer.step()
        curve.append(loss.detach())
    return torch.stack(curve)
