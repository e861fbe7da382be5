"""AutoAssignHead against mmdet's in one run: loss with backward, prediction, peak memory, growth with the boxes.

Run: python benchmarks/autoassign.py [--device cuda] [--repeats 5]
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from common import RESULTS, compared, peak_memory_mb, run, timed  # type: ignore[import-not-found]  # beside this file
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from mmdet.models.dense_heads import AutoAssignHead as MMDetHead  # isort: skip
from mmdet_kpheads.heads import AutoAssignHead

CLASSES, STRIDES = 80, (8, 16, 32, 64, 128)
HEIGHT, WIDTH, IMAGES = 800, 1088, 2
BOXES = (7, 50, 200)
GROWTH = (1, 3, 10, 30, 100, 300, 1000)  # boxes of one image of 1333 x 800
OPTIONS = {
    'num_classes': CLASSES,
    'in_channels': 8,
    'feat_channels': 32,
    'stacked_convs': 1,
    'strides': STRIDES,
    'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 5.0},
}
TEST_CFG = {
    'nms_pre': 1000,
    'min_bbox_size': 0,
    'score_thr': 0.05,
    'nms': {'type': 'nms', 'iou_threshold': 0.6},
    'max_per_img': 100,
}
Levels = list[torch.Tensor]


def scene(
    images: int, boxes: int, height: int, width: int, device: torch.device
) -> tuple[list[Levels], list[InstanceData], list[dict]]:
    """Random maps that require a gradient, random boxes of 4 to 40 % of the image, and metas."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in STRIDES]

    def level(channels: int, size: tuple[int, int]) -> torch.Tensor:
        return torch.randn(images, channels, *size, generator=generator)

    logits = [level(CLASSES, size) - 4 for size in sizes]
    distances = [level(4, size).abs() * 4 * stride for size, stride in zip(sizes, STRIDES, strict=True)]
    objectness = [level(1, size) for size in sizes]
    maps = [[part.to(device).requires_grad_() for part in levels] for levels in (logits, distances, objectness)]
    side = torch.tensor([width, height])
    truth = []
    for _ in range(images):
        half = (0.02 + 0.18 * torch.rand(boxes, 2, generator=generator)) * side
        centre = half + torch.rand(boxes, 2, generator=generator) * (side - 2 * half)
        labels = torch.randint(CLASSES, (boxes,), generator=generator)
        truth.append(InstanceData(bboxes=torch.cat((centre - half, centre + half), 1), labels=labels).to(device))
    shape = (height, width)
    meta = {'batch_input_shape': shape, 'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1.0, 1.0)}
    return maps, truth, [meta] * images


def training(head: Any, maps: list[Levels], truth: Any, metas: Any) -> Callable[[], None]:
    """Losses and backward to the maps."""

    def step() -> None:
        for levels in maps:
            for level in levels:
                level.grad = None
        losses = head.loss_by_feat(*maps, truth, metas)
        sum(value for name, value in losses.items() if 'loss' in name).backward()

    return step


def heads(device: torch.device) -> tuple[Any, Any]:
    """Ours and mmdet's."""
    ours, theirs = AutoAssignHead(**OPTIONS, test_cfg=TEST_CFG), MMDetHead(**OPTIONS, test_cfg=ConfigDict(TEST_CFG))
    return ours.to(device), theirs.to(device)


def rows(device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Every number of boxes: loss and peak memory; prediction; then the growth of both."""
    ours, theirs = heads(device)
    found = []
    for boxes in BOXES:
        maps, truth, metas = scene(IMAGES, boxes, HEIGHT, WIDTH, device)
        size = f'{IMAGES} images {HEIGHT} x {WIDTH}, {boxes} boxes'
        steps = [training(head, maps, truth, metas) for head in (ours, theirs)]
        row = {'what': 'loss_by_feat + backward', 'size': size, **compared(*steps, device, repeats)}
        for name, step in zip(('ours', 'mmdet'), steps, strict=True):
            row[name]['peak_mb'] = peak_memory_mb(step, device)
        found.append(row)
    plain = [[level.detach() for level in levels] for levels in maps]
    calls = (lambda head=head: head.predict_by_feat(*plain, metas) for head in (ours, theirs))
    size = f'{IMAGES} images {HEIGHT} x {WIDTH}'
    found.append({'what': 'predict_by_feat', 'size': size, **compared(*calls, device, repeats)})
    growth = growth_rows(ours, theirs, device)
    draw_growth(growth, device)
    return found + growth


def growth_rows(ours: Any, theirs: Any, device: torch.device) -> list[dict[str, Any]]:
    """Time and peak memory of one image of 1333 x 800 with 1 to 1000 boxes."""
    found = []
    for boxes in GROWTH:
        maps, truth, metas = scene(1, boxes, 800, 1333, device)
        row: dict[str, Any] = {'what': 'growth', 'size': f'1 image 800 x 1333, {boxes} boxes', 'boxes': boxes}
        for name, head in (('ours', ours), ('mmdet', theirs)):
            step = training(head, maps, truth, metas)
            row[name] = timed(step, device, 3, 1) | {'peak_mb': peak_memory_mb(step, device)}
        row['ratio'] = row['mmdet']['median_ms'] / row['ours']['median_ms']
        found.append(row)
    return found


def slope(rows: list[dict[str, Any]], name: str, key: str) -> float:
    """Exponent of the growth from 10 boxes on: 1 means proportional to the boxes."""
    points = [(math.log(row['boxes']), math.log(row[name][key])) for row in rows if row['boxes'] >= 10]
    x, y = (torch.tensor(values, dtype=torch.float64) for values in zip(*points, strict=True))
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


def draw_growth(rows: list[dict[str, Any]], device: torch.device) -> None:
    """Both growths as a picture beside the JSON."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout='constrained')
    for axis, key, unit in zip(axes, ('median_ms', 'peak_mb'), ('loss + backward, ms', 'peak memory, MB'), strict=True):
        for name in ('mmdet', 'ours'):
            label = f'{name}: grows as boxes^{slope(rows, name, key):.2f}'
            axis.loglog([row['boxes'] for row in rows], [row[name][key] for row in rows], marker='o', label=label)
        axis.set_xlabel('boxes in one image of 1333 x 800')
        axis.set_ylabel(unit)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(RESULTS / f'autoassign_growth_{device.type}.png', dpi=110)


if __name__ == '__main__':
    run('autoassign', rows, __doc__ or '')
