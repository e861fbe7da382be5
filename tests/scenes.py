"""Ground truth made by formula or seed."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor

STRIDE = 4


def instances(boxes, labels) -> InstanceData:
    """Boxes as a list of xyxy rows, labels as a list."""
    return InstanceData(
        bboxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.as_tensor(labels).long().reshape(-1),
    )


def well_formed(count: int, num_classes: int, size: int, seed: int = 0) -> InstanceData:
    """``count`` boxes inside a square image, no two with a center in the same stride-4 cell."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm((size // STRIDE - 4) ** 2, generator=generator)[:count]
    x, y = cells % (size // STRIDE - 4) + 2, cells // (size // STRIDE - 4) + 2
    centers = (torch.stack((x, y), 1) + 0.1 + 0.8 * torch.rand(count, 2, generator=generator)) * STRIDE
    room = torch.minimum(centers, size - centers)
    half = room * (0.1 + 0.89 * torch.rand(count, 2, generator=generator))
    labels = torch.randint(num_classes, (count,), generator=generator)
    return InstanceData(bboxes=torch.cat((centers - half, centers + half), 1), labels=labels)


def metas(batch: int, size: int, **extra) -> list[dict]:
    """Metas of ``batch`` square images that fill the network input."""
    shape = (size, size)
    return [
        dict(batch_input_shape=shape, img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), **extra)
        for _ in range(batch)
    ]


def random_maps(batch: int, num_classes: int, cells: int, seed: int = 0, size_channels: int = 2) -> list[Tensor]:
    """Heat logits, sizes and offsets that require a gradient."""
    generator = torch.Generator().manual_seed(seed)
    heat = torch.randn(batch, num_classes, cells, cells, generator=generator) - 2
    size = torch.rand(batch, size_channels, cells, cells, generator=generator) * 8
    offset = torch.rand(batch, 2, cells, cells, generator=generator)
    return [tensor.requires_grad_() for tensor in (heat, size, offset)]
