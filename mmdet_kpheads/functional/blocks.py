"""Working through a map in blocks that stay in the cache of a CPU core."""

import math
from collections.abc import Iterator

import torch

CPU_BLOCK_CELLS = 1 << 18  # 1 MiB of float32, the fastest of 2^14 .. 2^20 on two cores

DEVICE_BLOCK_CELLS = 1 << 24  # 64 MiB of float32: elsewhere a block only bounds the memory

Block = tuple[slice, slice]


def map_blocks(shape: torch.Size, device: torch.device) -> Iterator[Block]:
    """Index pairs (images, channels) that cover a (B, C, ...) map.

    On a CPU each block is a few channels of one image; elsewhere the whole map is one block, since there a kernel
    launch costs more than the cache gives.
    """
    images, channels, *spatial = shape
    if device.type != 'cpu':
        yield slice(0, images), slice(0, channels)
        return
    step = max(1, CPU_BLOCK_CELLS // max(1, math.prod(spatial)))
    for image in range(images):
        for first in range(0, channels, step):
            yield slice(image, image + 1), slice(first, min(first + step, channels))
