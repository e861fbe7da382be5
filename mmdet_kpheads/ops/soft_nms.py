"""Soft non-maximum suppression (Bodla et al. 2017, https://arxiv.org/abs/1704.04503). N boxes, K kept."""

import torch
from torch import Tensor

from .overlaps import checked, overlap, overlaps

METHODS = ('naive', 'linear', 'gaussian')  # in the order of mmcv's numbers 0, 1, 2
GONE = -torch.inf  # ranks below any score
ROWS = 256  # rows of the N x N factors computed at a time


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = 'linear',
    offset: int = 0,
) -> tuple[Tensor, Tensor]:
    """Take the best box again and again, each time lowering the scores of the boxes that it overlaps.

    N x N factors are computed at once. N rounds of five kernels follow without a host-device sync, and one sync trims
    the result. As in mmcv the first box is kept whatever its score. Differs from mmcv in: of equal
    scores the lower index comes first (mmcv: the one that its swaps left in front), an overlap of 0 / 0
    counts as none (mmcv's Gaussian makes the score NaN), a box whose score is NaN is dropped.

    Args:
        boxes: (N, 4) xyxy, any one unit.
        scores: (N,).
        iou_threshold: From this overlap on, naive drops and linear lowers; the Gaussian does not use it.
        sigma: The Gaussian's: ``exp(-overlap ** 2 / sigma)``.
        min_score: A box whose lowered score is below is dropped.
        method: ``'naive'`` (factor 0), ``'linear'`` (factor 1 - overlap) or ``'gaussian'``.
        offset: 0, or 1 if a box includes its last pixel: its width is then ``x2 - x1 + 1``.

    Returns:
        Boxes with lowered scores (K, 5) in the boxes' dtype, by falling score; their indices (K,) int64.

    Raises:
        ValueError: If the method, a shape or the offset is another.
    """
    check_options(method, offset)
    corners, live = checked(boxes.detach(), scores.detach(), offset)
    if not len(boxes):
        return boxes.new_zeros(0, 5), torch.zeros(0, dtype=torch.long, device=boxes.device)
    parts = (overlaps(part, corners, offset) for part in corners.split(ROWS))
    factors = torch.cat([_factors(part, method, iou_threshold, sigma) for part in parts])
    factors.fill_diagonal_(torch.nan)  # a box taken is out: NaN is not >= min_score
    live = live.where(~live.isnan(), GONE)
    taken = []
    for _ in range(len(boxes)):
        best = live.max(0, keepdim=True)  # the first of equals
        taken.append(best)
        live = live * factors.index_select(0, best.indices)[0]
        live = live.where(live >= min_score, GONE)
    kept_scores, order = torch.cat([t.values for t in taken]), torch.cat([t.indices for t in taken])
    kept = kept_scores != GONE
    order = order[kept]
    return torch.cat([corners[order], kept_scores[kept][:, None]], 1).to(boxes.dtype), order


def check_options(method: str, offset: int) -> None:
    """Raise ``ValueError`` for an unknown method or offset."""
    if method not in METHODS:
        raise ValueError(f'method must be one of {METHODS}, got {method!r}')
    if offset not in (0, 1):
        raise ValueError(f'offset must be 0 or 1, got {offset}')


def _factors(overlap: Tensor, method: str, iou_threshold: float, sigma: float) -> Tensor:
    """What a box that is taken multiplies the scores of the others with, for overlaps of any shape."""
    if method == 'gaussian':
        overlap = overlap.nan_to_num()
        return torch.exp(-(overlap * overlap) / sigma)
    # not below 0: an overlap may be rounded above 1, and a factor below 0 would revive a box that is out
    lowered = (1 - overlap).clamp(min=0) if method == 'linear' else torch.zeros_like(overlap)
    return lowered.where(overlap >= iou_threshold, 1.0)  # NaN is at no threshold


def soft_nms_batch(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    rounds: int,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = 'linear',
    offset: int = 0,
    class_agnostic: bool = False,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS of B images at once, class by class, as far as its first ``rounds`` boxes; without a host sync.

    Boxes are taken by falling score, so the first rounds give the best boxes and the rest need not be run. Overlaps are
    computed for the box that is taken alone, never for all pairs.

    Args:
        boxes: (B, N, 4) xyxy.
        scores: (B, N); -inf or NaN for what is no box.
        labels: (B, N): boxes of different labels do not touch one another's scores.
        rounds: Boxes to take, at most N are.
        iou_threshold: As in :func:`soft_nms`, likewise the next four.
        sigma: The Gaussian's.
        min_score: A box whose lowered score is below is dropped.
        method: ``'naive'``, ``'linear'`` or ``'gaussian'``.
        offset: 0 or 1.
        class_agnostic: Let boxes of different labels touch one another.

    Returns:
        Lowered scores (B, R), falling, -inf where nothing was left; indices (B, R). R is ``rounds`` or less.

    Raises:
        ValueError: If the method or the offset is another.
    """
    check_options(method, offset)
    corners, live = boxes.detach().float(), scores.detach().float()
    live = live.where(~live.isnan(), GONE)
    taken = [(live[:, :0], labels[:, :0])]
    for _ in range(min(rounds, scores.shape[1])):
        best, index = live.max(1, keepdim=True)  # (B, 1): the first of equals
        taken.append((best, index))
        box = corners.gather(1, index[..., None].expand(-1, -1, 4))  # (B, 1, 4)
        factor = _factors(overlap(box, corners, offset), method, iou_threshold, sigma)  # (B, N)
        if not class_agnostic:
            factor = factor.where(labels == labels.gather(1, index), 1.0)
        live = live * factor
        live = live.where(live >= min_score, GONE).scatter(1, index, GONE)
    kept, indices = (torch.cat(parts, 1) for parts in zip(*taken, strict=True))
    return kept, indices
