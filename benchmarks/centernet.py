"""CenterNetHead against mmdet's in one run: loss_by_feat with backward, and predict_by_feat.

Run: python benchmarks/centernet.py [--device cuda] [--repeats 7]
"""

from typing import Any

import torch
from common import compared, run  # type: ignore[import-not-found]  # beside this file
from mmengine.structures import InstanceData

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from mmdet.models.dense_heads import CenterNetHead as MMDetHead  # isort: skip
from mmdet_kpheads.heads import CenterNetHead

CLASSES, CELLS, STRIDE = 80, 128, 4
SIZES = ((16, 7), (4, 100))  # images, boxes an image
TEST_CFG = {'topk': 100, 'local_maximum_kernel': 3, 'max_per_img': 100}


def scene(images: int, boxes: int, device: torch.device) -> tuple[list[torch.Tensor], list[InstanceData], list[dict]]:
    """Random maps that require a gradient, random boxes of 4 to 40 % of the image, and metas."""
    generator = torch.Generator().manual_seed(0)
    side = CELLS * STRIDE
    heat = torch.randn(images, CLASSES, CELLS, CELLS, generator=generator) - 3
    size = torch.rand(images, 2, CELLS, CELLS, generator=generator) * 20
    offset = torch.rand(images, 2, CELLS, CELLS, generator=generator)
    truth = []
    for _ in range(images):
        half = (0.02 + 0.18 * torch.rand(boxes, 2, generator=generator)) * side
        centre = half + torch.rand(boxes, 2, generator=generator) * (side - 2 * half)
        labels = torch.randint(CLASSES, (boxes,), generator=generator)
        image = InstanceData(bboxes=torch.cat((centre - half, centre + half), 1), labels=labels)
        truth.append(image.to(device))
    shape = (side, side)
    meta = {'batch_input_shape': shape, 'img_shape': shape, 'border': (0, side, 0, side), 'scale_factor': (1.0, 1.0)}
    return [tensor.to(device).requires_grad_() for tensor in (heat, size, offset)], truth, [meta] * images


def train(head: Any, maps: list[torch.Tensor], truth: list[InstanceData], metas: list[dict], probability: bool) -> None:
    """Targets, losses and backward to the maps; mmdet's head wants probabilities, as its forward gives them."""
    heat, *others = maps
    for tensor in maps:
        tensor.grad = None
    losses = head.loss_by_feat([heat.sigmoid() if probability else heat], *[[m] for m in others], truth, metas)
    sum(value for name, value in losses.items() if 'loss' in name).backward()


def rows(device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """Every size, loss and prediction."""
    ours = CenterNetHead(8, 8, CLASSES, test_cfg=TEST_CFG)
    theirs = MMDetHead(8, 8, CLASSES, test_cfg=mmdet_options())
    found = []
    for images, boxes in SIZES:
        maps, truth, metas = scene(images, boxes, device)
        size = f'{images} images, {boxes} boxes'

        def loss(head: Any, probability: bool, scene: tuple = (maps, truth, metas)) -> None:
            train(head, *scene, probability)

        timing = compared(lambda: loss(ours, False), lambda: loss(theirs, True), device, repeats)
        found.append({'what': 'loss_by_feat + backward', 'size': size, **timing})
        with torch.no_grad():
            plain = [[tensor.detach()] for tensor in maps]
            scores = [[plain[0][0].sigmoid()], *plain[1:]]
            timing = compared(
                lambda: ours.predict_by_feat(*plain, metas),  # noqa: B023
                lambda: theirs.predict_by_feat(*scores, metas),  # noqa: B023
                device,
                repeats,
            )
        found.append({'what': 'predict_by_feat', 'size': size, **timing})
    return found


def mmdet_options() -> Any:
    """Options as mmdet reads them, by attribute."""
    from mmengine.config import ConfigDict

    return ConfigDict(TEST_CFG)


if __name__ == '__main__':
    run('centernet', rows, __doc__ or '')
