"""Corner pooling against mmcv's CornerPool in one run, forward and backward (column "mmdet": mmcv).

Run: python benchmarks/corner_pool.py [--device cuda] [--repeats 15]
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import compared, save, table  # type: ignore[import-not-found]  # beside this file
from torch import Tensor

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable)

from mmcv.ops import CornerPool  # isort: skip
from mmdet_kpheads.ops.corner_pool import DIRECTIONS, corner_pool

SHAPES = ((2, 128, 128, 128), (8, 128, 32, 32))  # the published head's map, and a small one


def row(direction: str, shape: tuple[int, ...], device: torch.device, repeats: int) -> dict[str, Any]:
    """One direction on the output of a ReLU, as the head has it."""
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    x = x.relu_().requires_grad_()
    theirs = CornerPool(direction)

    def step(pool: Callable[[Tensor], Tensor]) -> None:
        torch.autograd.grad(pool(x), x, grad)

    timing = compared(lambda: step(lambda x: corner_pool(x, direction)), lambda: step(theirs), device, repeats)
    return {'what': f'{direction} + backward', 'size': ' x '.join(map(str, shape)), **timing}


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cpu', type=torch.device)
    parser.add_argument('--repeats', default=15, type=int)
    options = parser.parse_args()
    rows = [row(direction, shape, options.device, options.repeats) for shape in SHAPES for direction in DIRECTIONS]
    print(table(rows))
    print(f'-> {save("corner_pool", rows, options.device)}')


if __name__ == '__main__':
    main()
