"""Greedy non-maximum suppression, block by block. N boxes, K kept, M in a block."""

import torch
from torch import Tensor

from .overlaps import checked, overlaps
from .torchvision_kernels import torchvision_op

BLOCK = 256  # boxes settled at a time: 256 x 256 overlaps are cheap, and the rest shrinks between blocks


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0, limit: int = 0) -> Tensor:
    """Keep each box that no kept box of a higher score overlaps by more than the threshold.

    Exactly the greedy result; of equal scores the lower index comes first. One host-device sync per block.

    Args:
        boxes: (N, 4) xyxy, any one unit.
        scores: (N,).
        iou_threshold: A box is dropped if its overlap is above this; equal stays.
        offset: 0, or 1 if a box includes its last pixel: its width is then ``x2 - x1 + 1``.
        limit: End with so many kept boxes; 0 for all.

    Returns:
        (K,) int64 indices of the kept boxes by falling score.

    Raises:
        ValueError: If a shape or the offset is another.
    """
    boxes, scores = checked(boxes.detach(), scores.detach(), offset)
    if offset == 0 and (kernel := torchvision_op('nms', boxes.device.type)):
        dtype = torch.promote_types(boxes.dtype, scores.dtype)  # it wants one for both
        # rounded: it compares in float64, where an equal overlap may be above
        threshold = torch.tensor(iou_threshold, dtype=dtype).item()
        return kernel(boxes.to(dtype), scores.to(dtype), threshold)[: limit or None]
    rest = scores.argsort(descending=True, stable=True)
    kept, number = [rest[:0]], 0
    while len(rest):
        head, rest = rest[:BLOCK], rest[BLOCK:]
        above = overlaps(boxes[head], boxes[head], offset) > iou_threshold
        head = head[_greedy(above)]
        kept.append(head)
        number += len(head)
        if 0 < limit <= number:
            break
        rest = rest[~(overlaps(boxes[head], boxes[rest], offset) > iou_threshold).any(0)]
    return torch.cat(kept)[: limit or None]


def class_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    iou_threshold: float,
    offset: int = 0,
    class_agnostic: bool = False,
    limit: int = 0,
) -> Tensor:
    """:func:`nms` of each class by itself: as in mmcv, boxes of a class are moved away from those of the others.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        labels: (N,) class of each box.
        iou_threshold: As in :func:`nms`, likewise the next.
        offset: 0 or 1.
        class_agnostic: Let boxes of different classes drop one another.
        limit: As in :func:`nms`.

    Returns:
        (K,) int64 indices of the kept boxes by falling score.
    """
    if len(boxes) and not class_agnostic:
        boxes = boxes + (labels * (boxes.max() + 1))[:, None]
    return nms(boxes, scores, iou_threshold, offset, limit)


def _greedy(above: Tensor) -> Tensor:
    """Settle one block.

    Each round drops what the boxes kept in the last round overlap. After round r the first r boxes are as in
    the sequential loop, by induction, so the first round that changes nothing has its result.

    Args:
        above: (M, M) whether two boxes overlap too much, in the order of falling score.

    Returns:
        (M,) bool, kept.
    """
    drops = above.triu(1)
    keep = torch.ones(len(above), dtype=torch.bool, device=above.device)
    while True:
        settled = ~(drops & keep[:, None]).any(0)
        if torch.equal(settled, keep):
            return keep
        keep = settled
