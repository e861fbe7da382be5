"""What differs between a CPU and other devices: blocks that stay in the cache, and reading values."""

import math
from collections.abc import Iterator

import torch

CPU_BLOCK_CELLS = 1 << 19  # 2 MiB of float32, the fastest of 2^14 .. 2^20 on two cores
DEVICE_BLOCK_CELLS = 1 << 24  # 64 MiB of float32: elsewhere a block only bounds the memory
HOST_DEVICES = {'cpu'}  # whose memory the host reads without waiting

Block = tuple[slice, slice]


def map_blocks(shape: torch.Size, device: torch.device) -> Iterator[Block]:
    """Index pairs (images, channels) that cover a (B, C, ...) map.

    On a CPU each block is a few channels of one image; elsewhere, and in compiled code, the whole map is one block,
    since there a kernel launch costs more than the cache gives.
    """
    images, channels, *spatial = shape
    if not math.prod(spatial):
        return
    if not reads_are_free(device):
        yield slice(0, images), slice(0, channels)
        return
    step = max(1, CPU_BLOCK_CELLS // max(1, math.prod(spatial)))
    for image in range(images):
        for first in range(0, channels, step):
            yield slice(image, image + 1), slice(first, min(first + step, channels))


def reads_are_free(device: torch.device) -> bool:
    """Whether the host may look at values: on a CPU, unless the code is being compiled. Elsewhere it would wait."""
    return device.type in HOST_DEVICES and not torch.compiler.is_compiling()


def block_cells(device: torch.device) -> int:
    """Cells to work on at once where only the memory is to be bounded, or the cache of a CPU to be used."""
    return CPU_BLOCK_CELLS if device.type in HOST_DEVICES else DEVICE_BLOCK_CELLS
