"""The associative embedding loss against mmdet's in one run: value and backward to the tag maps, times and op counts.

Run: python benchmarks/ae_loss.py [--device cuda] [--repeats 31]
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from common import compared, save  # type: ignore[import-not-found]  # beside this file
from torch.profiler import ProfilerActivity, profile

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from mmdet.models.losses import AssociativeEmbeddingLoss as MMDetLoss  # isort: skip
from mmdet_kpheads.functional.embedding import gather_tags
from mmdet_kpheads.losses import AssociativeEmbeddingLoss

CELLS = 128
SIZES = ((4, 1), (4, 10), (4, 100))  # images, objects an image


def count_ops(call: Callable[[], Any]) -> int:
    """Operators of torch that one call runs, those inside others included."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call()
    return sum(event.name.startswith('aten::') for event in record.events())


def row(images: int, objects: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """Both losses on the same maps and the same corners, each given them in the form it takes."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(CELLS, (images, objects, 2, 2), generator=generator)  # (B, N, corner, y x)
    match = corners.tolist()
    cells = (corners[..., 0] * CELLS + corners[..., 1]).to(device)
    mask = torch.ones(images, objects, dtype=torch.bool, device=device)
    maps = [torch.randn(images, 1, CELLS, CELLS, generator=generator).to(device).requires_grad_() for _ in range(2)]
    our_loss, their_loss = AssociativeEmbeddingLoss(), MMDetLoss()

    def ours() -> None:
        losses = our_loss(gather_tags(maps, cells), mask)
        torch.autograd.grad(losses['pull'] + losses['push'], maps)

    def theirs() -> None:
        pull, push = their_loss(*maps, match)
        torch.autograd.grad(pull + push, maps)

    timing = compared(ours, theirs, device, repeats)
    ops = {'ops_ours': count_ops(ours), 'ops_mmdet': count_ops(theirs)}
    return {'what': 'AE loss + backward', 'size': f'{images} images, {objects} objects', **timing, **ops}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown, with the op counts."""
    lines = ['| size | ours ms | mmdet ms | ratio | ours ops | mmdet ops |', '|---|---|---|---|---|---|']
    for found in rows:
        times = f'{found["ours"]["median_ms"]:.2f} | {found["mmdet"]["median_ms"]:.2f} | {found["ratio"]:.1f}'
        lines.append(f'| {found["size"]} | {times} | {found["ops_ours"]} | {found["ops_mmdet"]} |')
    return '\n'.join(lines)


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cpu', type=torch.device)
    parser.add_argument('--repeats', default=31, type=int)
    options = parser.parse_args()
    rows = [row(images, objects, options.device, options.repeats) for images, objects in SIZES]
    print(table(rows))
    print(f'-> {save("ae_loss", rows, options.device)}')


if __name__ == '__main__':
    main()
