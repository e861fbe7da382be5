"""What the heads are measured on: random maps, random boxes of 4 to 40 % of the image, and metas; seeds are fixed."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

CLASSES, CELLS, STRIDE = 80, 128, 4
STRIDES = (8, 16, 32, 64, 128)
Maps = list[list[Tensor]]


class Scene(NamedTuple):
    """Predictions by output and level, and the truth of a batch."""

    maps: Maps
    truth: list[InstanceData]
    metas: list[dict]

    def plain(self) -> Maps:
        """The maps without a gradient."""
        return [[level.detach() for level in levels] for levels in self.maps]

    def clear(self) -> None:
        """Drop the gradients."""
        for levels in self.maps:
            for level in levels:
                level.grad = None

    def num_bytes(self, passes: int) -> int:
        """Bytes of all maps, moved so many times."""
        return passes * sum(level.numel() * level.element_size() for levels in self.maps for level in levels)


def random_truth(images: int, boxes: int, size: tuple[int, int], device: torch.device) -> list[InstanceData]:
    """``boxes`` objects in each image of (height, width) pixels."""
    generator = torch.Generator().manual_seed(0)
    side = torch.tensor([size[1], size[0]])
    truth = []
    for _ in range(images):
        half = (0.02 + 0.18 * torch.rand(boxes, 2, generator=generator)) * side
        center = half + torch.rand(boxes, 2, generator=generator) * (side - 2 * half)
        labels = torch.randint(CLASSES, (boxes,), generator=generator)
        truth.append(InstanceData(bboxes=torch.cat((center - half, center + half), 1), labels=labels).to(device))
    return truth


def metas(images: int, size: tuple[int, int]) -> list[dict]:
    """Metas of images that fill the network input."""
    meta = {'batch_input_shape': size, 'img_shape': size, 'ori_shape': size, 'scale_factor': (1.0, 1.0)}
    return [meta | {'border': (0, size[0], 0, size[1])}] * images


def heat_map_scene(outputs: list[tuple[int, float, float]], images: int, boxes: int, cells: int, device: Any) -> Scene:
    """One level of square maps; an output is its channels, its mean and its spread."""
    generator = torch.Generator().manual_seed(1)
    maps = [
        [(torch.randn(images, channels, cells, cells, generator=generator) * spread + mean).to(device).requires_grad_()]
        for channels, mean, spread in outputs
    ]
    size = (cells * STRIDE, cells * STRIDE)
    return Scene(maps, random_truth(images, boxes, size, device), metas(images, size))


def centernet_scene(images: int, boxes: int, device: torch.device, cells: int = CELLS) -> Scene:
    """Heat map, size in cells, offset."""
    return heat_map_scene([(CLASSES, -3, 1), (2, 10, 3), (2, 0.5, 0.3)], images, boxes, cells, device)


def cornernet_scene(images: int, boxes: int, device: torch.device, cells: int = CELLS) -> Scene:
    """Heat maps, tags and offsets of both corners."""
    outputs = [(CLASSES, -3, 1)] * 2 + [(1, 0, 1)] * 2 + [(2, 0.5, 1)] * 2
    return heat_map_scene(outputs, images, boxes, cells, device)


def autoassign_scene(images: int, boxes: int, device: torch.device, size: tuple[int, int] = (800, 1088)) -> Scene:
    """Class logits, distances in pixels, objectness logits of five levels."""
    generator = torch.Generator().manual_seed(1)
    cells = [(math.ceil(size[0] / stride), math.ceil(size[1] / stride)) for stride in STRIDES]

    def level(channels: int, index: int) -> Tensor:
        return torch.randn(images, channels, *cells[index], generator=generator)

    levels = range(len(STRIDES))
    outputs = (
        [level(CLASSES, i) - 4 for i in levels],
        [level(4, i).abs() * 4 * STRIDES[i] for i in levels],
        [level(1, i) for i in levels],
    )
    maps = [[part.to(device).requires_grad_() for part in output] for output in outputs]
    return Scene(maps, random_truth(images, boxes, size, device), metas(images, size))


def total(losses: dict[str, Any]) -> Tensor:
    """Sum of all entries that are losses."""
    values = (value for name, value in losses.items() if 'loss' in name)
    return torch.stack([sum(value) if isinstance(value, list) else value for value in values]).sum()


def forward_of(head: Any, scene: Scene, probability: bool = False) -> Callable[[], Tensor]:
    """Targets and losses; mmdet's CenterNetHead wants probabilities, as its forward gives them."""

    def loss() -> Tensor:
        first, *others = scene.maps
        heat = [level.sigmoid() for level in first] if probability else first
        return total(head.loss_by_feat(heat, *others, scene.truth, scene.metas))

    return loss


def prediction_of(head: Any, scene: Scene, probability: bool = False, **options: Any) -> Callable[[], None]:
    """Maps to boxes, without a gradient; the sigmoid that mmdet's CenterNetHead has in its forward is not timed."""
    maps = scene.plain()
    if probability:
        maps[0] = [level.sigmoid() for level in maps[0]]

    @torch.no_grad()
    def predict() -> None:
        head.predict_by_feat(*maps, scene.metas, **options)

    return predict


def training_of(head: Any, scene: Scene, probability: bool = False) -> Callable[[], None]:
    """Targets, losses and backward to the maps."""
    forward = forward_of(head, scene, probability)

    def step() -> None:
        scene.clear()
        forward().backward()

    return step
