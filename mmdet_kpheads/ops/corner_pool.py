"""Corner pooling: the running maximum of a feature map along one axis.

Source: CornerNet, arXiv 1808.01244, section 3.2. Each cell takes the maximum over itself and all cells below it
(``'top'``), above it (``'bottom'``), to its right (``'left'``) or to its left (``'right'``). The directions have the
names of mmcv's CornerPool.

Shape legend: B images, C channels, H x W cells.
"""

from torch import Tensor

DIRECTIONS = {'top': (2, True), 'bottom': (2, False), 'left': (3, True), 'right': (3, False)}  # (axis, from_end)


def corner_pool(x: Tensor, direction: str) -> Tensor:
    """Compute the running maximum of a map; value and gradient equal mmcv's CornerPool.

    Among equal values the nearest one receives the gradient, as in ``torch.cummax``; CornerNet's own op chooses the
    farthest. After a ReLU ties occur at 0, where neither choice reaches a weight.

    Args:
        x: (B, C, H, W).
        direction: ``'top'``, ``'bottom'``, ``'left'`` or ``'right'``.

    Raises:
        ValueError: If the direction is unknown.
    """
    if direction not in DIRECTIONS:
        raise ValueError(f'direction must be one of {tuple(DIRECTIONS)}, but got {direction!r}')
    axis, from_end = DIRECTIONS[direction]
    if from_end:
        return x.flip(axis).cummax(axis).values.flip(axis)
    return x.cummax(axis).values
