"""Whole training steps and whole inference: CenterNet-R18, a small CornerNet, AutoAssign-R50, with either head.

Each trains with the optimizer, the clipping and the step of its recipe. "fast" is what ``train --fast`` and
``test --fast`` choose on the device, with the memory that the commands keep, against mmdet's head and mmengine's
defaults.
"""

from collections.abc import Iterator
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from mmdet_kpheads.cli.speed import speed_up_training, use_mixed_precision
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.optim.precision import native_bfloat16
from mmdet_kpheads_cli.memory import KEPT_BYTES, keep_freed_memory

from .contract import compared, peak_memory_mb, timed
from .scenes import metas, random_truth, total

GLIBC_KEPT_BYTES = 1 << 26  # what glibc keeps once a block of 32 MiB or more was freed, as in any training
CROWDED = 'AutoAssign-R50, crowded'
ON_CPU, ON_GPU = 'cpu', 'cuda'
# config, what mmdet calls the head, by device the images and their size (a CPU has small ones, to take minutes), and
# whether a GPU computes in bfloat16
DETECTORS = {
    'CenterNet-R18': (
        'centernet/untrained/centernet_r18_8xb16-140e_coco.py',
        'CenterNetHead',
        {ON_CPU: (2, (512, 512)), ON_GPU: (32, (512, 512))},
        True,
    ),
    'CornerNet-R18': (
        'cornernet/untrained/cornernet_r18_8xb16-140e_coco.py',
        'CornerHead',
        {ON_CPU: (1, (512, 512)), ON_GPU: (32, (512, 512))},
        True,
    ),
    'AutoAssign-R50': (
        'autoassign/untrained/autoassign_r50_8xb2-1x_coco.py',
        'AutoAssignHead',
        {ON_CPU: (1, (480, 640)), ON_GPU: (8, (800, 1088))},
        False,  # mmdet's head calls binary_cross_entropy, which refuses autocast: float32 for both
    ),
    'CenterNet-R18-DCN': (
        'centernet/untrained/centernet_r18-dcnv2_8xb16-140e_coco.py',
        'CenterNetHead',
        {ON_CPU: (2, (384, 384)), ON_GPU: (32, (512, 512))},
        True,
    ),
    CROWDED: (
        'autoassign/untrained/autoassign_r50_8xb2-1x_coco.py',
        'AutoAssignHead',
        {ON_GPU: (2, (800, 1088))},
        False,
    ),
}
BOXES = {CROWDED: 200}  # in each image; 20 otherwise


def recipe(config: str, mmdet_head: str | None) -> Config:
    """The config of a recipe, with our head or with mmdet's of that name."""
    cfg = Config.fromfile(configs_root() / config)
    cfg.model.backbone.init_cfg = None
    if mmdet_head:
        cfg.model.bbox_head.type = f'mmdet.{mmdet_head}'
        for key, value in cfg.model.bbox_head.items():  # mmdet's own losses
            if key.startswith('loss') and str(value.get('type', '')).startswith('mmdet_kpheads.'):
                value.type = value.type.replace('mmdet_kpheads.', 'mmdet.')
    return cfg


def build(cfg: Config, device: torch.device) -> Any:
    """The detector of a config."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    return model.to(device)


def samples(images: int, boxes: int, size: tuple[int, int], device: torch.device) -> list[DetDataSample]:
    """What a data loader would give."""
    found = []
    for truth, meta in zip(random_truth(images, boxes, size, device), metas(images, size), strict=True):
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = truth
        found.append(sample)
    return found


class Timed:
    """Runs a training step or an inference of a detector, and its head's part of it alone."""

    def __init__(
        self, cfg: Config, inputs: torch.Tensor, truth: list[DetDataSample], half: bool, fast: bool = False
    ) -> None:
        self.inputs, self.truth, kind = inputs, truth, inputs.device.type
        self.kept_bytes = KEPT_BYTES if fast else GLIBC_KEPT_BYTES
        if fast:
            self.choices = speed_up_training(cfg, kind, None, fast=True, compiled=False)
        elif half and kind == 'cuda':
            use_mixed_precision(cfg, 'bf16', kind)
        self.model = build(cfg, inputs.device)
        if fast and 'channels last' in self.choices:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = build_optim_wrapper(self.model, cfg.optim_wrapper)
        enabled = (half and kind == 'cuda') or (fast and native_bfloat16(kind))
        self.precision = torch.autocast(inputs.device.type, torch.bfloat16, enabled=enabled)

    def train(self) -> None:
        """Forward, targets, losses, backward, clipping, update: mmengine's step without its data preprocessor."""
        keep_freed_memory(self.kept_bytes)
        self.model.train()
        with self.optimizer.optim_context(self.model):
            loss = total(self.model.loss(self.inputs, self.truth))
        self.optimizer.update_params(loss)

    def head_in_training(self) -> Any:
        """Targets, losses and backward to the head's maps."""
        with torch.no_grad(), self.precision:
            maps = self.model.bbox_head(self.model.extract_feat(self.inputs))
        leaves = [[level.detach().requires_grad_() for level in levels] for levels in maps]
        instances, img_metas = [s.gt_instances for s in self.truth], [s.metainfo for s in self.truth]
        return lambda: total(self.model.bbox_head.loss_by_feat(*leaves, instances, img_metas)).backward()

    @torch.no_grad()
    def predict(self) -> None:
        """Images to boxes."""
        keep_freed_memory(self.kept_bytes)
        self.model.eval()
        with self.precision:
            self.model.predict(self.inputs, self.truth)

    def head_in_prediction(self) -> Any:
        """Maps to boxes."""
        self.model.eval()
        with torch.no_grad(), self.precision:
            maps = self.model.bbox_head(self.model.extract_feat(self.inputs))
        img_metas = [s.metainfo for s in self.truth]

        @torch.no_grad()
        def decode() -> None:
            self.model.bbox_head.predict_by_feat(*maps, img_metas, rescale=True)

        return decode


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Training and inference of each detector."""
    for name, (config, mmdet_head, sizes, half) in DETECTORS.items():
        if device.type not in sizes:
            continue
        (images, size), boxes = sizes[device.type], BOXES.get(name, 20)
        inputs = torch.randn(images, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
        truth = samples(images, boxes, size, device)
        sides = {side: Timed(recipe(config, head), inputs, truth, half) for side, head in
                 (('ours', None), ('mmdet', mmdet_head))}  # fmt: skip
        shape = f'{images} images {size[0]} x {size[1]}, {boxes} boxes'
        for what, step, part in (
            ('training step', 'train', 'head_in_training'),
            ('inference', 'predict', 'head_in_prediction'),
        ):
            calls = {side: getattr(runner, step) for side, runner in sides.items()}
            row = compared(f'{name} {what}', shape, calls['ours'], calls['mmdet'], device)
            for side, runner in sides.items():
                head_ms = timed(getattr(runner, part)(), device)['median_ms']
                row[side]['head_share'] = head_ms / row[side]['median_ms']
                row[side]['images_per_s'] = images / row[side]['median_ms'] * 1e3
                if step == 'train':
                    row[side]['peak_mb'] = peak_memory_mb(calls[side], device)
            row['note'] = (
                f'{row["ours"]["images_per_s"]:.2f} / {row["mmdet"]["images_per_s"]:.2f} images/s, head '
                f'{row["ours"]["head_share"]:.1%} / {row["mmdet"]["head_share"]:.1%}'
            )
            yield row
            fast = Timed(recipe(config, None), inputs, truth, half, fast=True)
            if step == 'predict':
                fast.model.to(memory_format=torch.channels_last)  # as test --fast does on every device
            row = compared(f'{name} {what}, fast', shape, getattr(fast, step), calls['mmdet'], device)
            if step == 'train':
                row['ours']['peak_mb'] = peak_memory_mb(fast.train, device)
                row['mmdet']['peak_mb'] = peak_memory_mb(calls['mmdet'], device)
                row['note'] = fast.choices
            yield row
