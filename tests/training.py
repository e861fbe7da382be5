"""Small heads and detectors and a few optimizer steps, for curves and finiteness."""

from contextvars import ContextVar

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope

from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from tests.scenes import metas

GROUPS = dict(type='GN', num_groups=2)  # unlike batch normalization the same for one image and for two


# for tests with configs that swap AutoAssignHead in by its type
fcos_arguments_warn = pytest.mark.filterwarnings('default:.*arguments of FCOSHead:mmdet_kpheads.errors.KpheadsWarning')

BACKEND = ContextVar('backend', default='auto')  # of the heads that tests build; set by tests/heads/conftest.py


def small_centernet():
    return CenterNetHead(4, 4, 3, loss_bbox=dict(type='GIoULoss', loss_weight=1.0), backend=BACKEND.get())


def small_cornernet():
    embedding = dict(type='AssociativeEmbeddingLoss', reduction='image_mean')
    return CornerNetHead(
        3, 4, 1, loss_embedding=embedding, norm_cfg=GROUPS, feat_channels=8, pool_channels=8, backend=BACKEND.get()
    )


def small_autoassign():
    giou = dict(type='GIoULoss', loss_weight=5.0)
    head = AutoAssignHead(
        3,
        4,
        feat_channels=8,
        stacked_convs=1,
        strides=(4, 8),
        norm_cfg=GROUPS,
        loss_bbox=giou,
        force_topk=True,
        backend=BACKEND.get(),
    )
    torch.nn.init.constant_(head.conv_reg.bias, 1.0)  # at 0 relu cuts half of the gradients
    return head


SMALL_HEADS = dict(centernet=(small_centernet, 1), cornernet=(small_cornernet, 1), autoassign=(small_autoassign, 2))


def small_head(name: str):
    """A head for 3 classes over 4 channels at stride 4 (AutoAssign: 4 and 8)."""
    return SMALL_HEADS[name][0]()


def features_of(name: str, batch: int, seed: int, cells: int = 16):
    """Feature maps that the head takes."""
    generator = torch.Generator().manual_seed(seed)
    levels = SMALL_HEADS[name][1]
    return tuple(torch.randn(batch, 4, cells >> level, cells >> level, generator=generator) for level in range(levels))


def summed(losses):
    """The sum of all entries named loss; a head with several stacks gives lists."""
    values = [value for name, value in losses.items() if 'loss' in name]
    return sum(sum(value) if isinstance(value, list) else value for value in values)


def small_detector(head: str, num_classes: int, **head_options):
    """A narrow ResNet-18 with two transposed convolutions (stride 4) and the named head over 8 channels."""
    if head.startswith('mmdet_kpheads.'):
        head_options.setdefault('backend', BACKEND.get())
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
        test_cfg=dict(max_per_img=100),
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
    return summed(model.loss(inputs, samples_of(images, size)))


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
