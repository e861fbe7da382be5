"""Parts by themselves: the associative-embedding loss and corner pooling against mmdet's and mmcv's."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

# isort: split
from mmcv.ops import CornerPool
from mmdet.models.losses import AssociativeEmbeddingLoss as MMDetLoss

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.embedding import gather_tags
from mmdet_kpheads.losses import AssociativeEmbeddingLoss
from mmdet_kpheads.ops.corner_pool import corner_pool

from .contract import compared, counts

CELLS = 128
OBJECTS = (1, 10, 100)  # in each of four images
DIRECTIONS = ('top', 'bottom', 'left', 'right')


def embedding_row(objects: int, device: torch.device) -> dict[str, Any]:
    """Both losses on the same maps and the same corners, each given them in the form it takes."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(CELLS, (4, objects, 2, 2), generator=generator)  # (B, N, corner, y x)
    match = corners.tolist()
    cells = (corners[..., 0] * CELLS + corners[..., 1]).to(device)
    mask = torch.ones(4, objects, dtype=torch.bool, device=device)
    maps = [torch.randn(4, 1, CELLS, CELLS, generator=generator).to(device).requires_grad_() for _ in range(2)]
    our_loss, their_loss = AssociativeEmbeddingLoss(), MMDetLoss()

    def ours() -> None:
        losses = our_loss(gather_tags(maps, cells), mask)
        torch.autograd.grad(losses['pull'] + losses['push'], maps)

    def theirs() -> None:
        pull, push = their_loss(*maps, match)
        torch.autograd.grad(pull + push, maps)

    row = compared('AE loss + backward', f'4 images, {objects} objects', ours, theirs, device)
    row['ours'] |= counts(ours, device)
    row['mmdet'] |= counts(theirs, device)
    return row


def pooling_row(direction: str, device: torch.device) -> dict[str, Any]:
    """Forward and backward; the column "mmdet" is mmcv's CornerPool."""
    x = torch.randn(2, CELLS, CELLS, CELLS, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    weight = torch.ones_like(x)

    def run(pool: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def step() -> None:
            torch.autograd.grad((pool(x) * weight).sum(), x)

        return step

    ours, theirs = run(lambda value: version_of(corner_pool, value)(value, direction)), run(CornerPool(direction))
    return compared(f'{direction} pooling + backward', '2 x 128 x 128 x 128', ours, theirs, device)


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Both."""
    for objects in OBJECTS:
        yield embedding_row(objects, device)
    for direction in DIRECTIONS:
        yield pooling_row(direction, device)
