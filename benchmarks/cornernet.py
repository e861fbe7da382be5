"""CornerNetHead against mmdet's CornerHead in one run: loss with backward, prediction without and with soft-NMS.

Run: python benchmarks/cornernet.py [--device cuda] [--repeats 7]
"""

from collections.abc import Callable
from typing import Any

import torch
from centernet import CELLS, CLASSES, SIZES, scene  # beside this file; it imports mmdet_kpheads first
from common import compared, run  # type: ignore[import-not-found]  # beside this file
from mmdet.models.dense_heads import CornerHead
from mmengine.config import ConfigDict

from mmdet_kpheads.heads import CornerNetHead

TEST_CFG = {'corner_topk': 100, 'local_maximum_kernel': 3, 'distance_threshold': 0.5, 'max_per_img': 100}
SOFT_NMS = {'type': 'soft_nms', 'iou_threshold': 0.5, 'method': 'gaussian'}
OPTIONS = {'num_classes': CLASSES, 'in_channels': 8, 'num_feat_levels': 1}


def corner_maps(images: int, device: torch.device) -> list[list[torch.Tensor]]:
    """Heat logits, tags and offsets of both corners, one level each, in the heads' order."""
    generator = torch.Generator().manual_seed(1)
    maps = []
    for channels, shift in ((CLASSES, -3.0), (1, 0.0), (2, 0.5)):
        for _ in range(2):
            shape = (images, channels, CELLS, CELLS)
            maps.append([(torch.randn(shape, generator=generator) + shift).to(device).requires_grad_()])
    return maps


def training(head: Any, maps: list[list[torch.Tensor]], truth: Any, metas: Any) -> Callable[[], None]:
    """Targets, losses and backward to the maps."""

    def step() -> None:
        for levels in maps:
            levels[0].grad = None
        losses = head.loss_by_feat(*maps, truth, metas)
        sum(sum(levels) for name, levels in losses.items() if 'loss' in name).backward()

    return step


def rows(device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Every size: loss, prediction without NMS, prediction with soft-NMS."""
    ours = CornerNetHead(**OPTIONS, test_cfg=TEST_CFG | {'nms': SOFT_NMS})
    theirs = CornerHead(**OPTIONS, test_cfg=ConfigDict(TEST_CFG, nms=SOFT_NMS))
    found = []
    for images, boxes in SIZES:
        _, truth, metas = scene(images, boxes, device)
        maps = corner_maps(images, device)
        size = f'{images} images, {boxes} boxes'
        steps = (training(head, maps, truth, metas) for head in (ours, theirs))
        found.append({'what': 'loss_by_feat + backward', 'size': size, **compared(*steps, device, repeats)})
        plain = [[levels[0].detach()] for levels in maps]
        for what, with_nms in (('predict_by_feat without NMS', False), ('predict_by_feat with soft-NMS', True)):
            calls = (prediction(head, plain, metas, with_nms) for head in (ours, theirs))
            found.append({'what': what, 'size': size, **compared(*calls, device, repeats)})
    return found


def prediction(head: Any, maps: list[list[torch.Tensor]], metas: Any, with_nms: bool) -> Callable[[], Any]:
    """One prediction of the batch."""
    return lambda: head.predict_by_feat(*maps, metas, with_nms=with_nms)


if __name__ == '__main__':
    run('cornernet', rows, __doc__ or '')
