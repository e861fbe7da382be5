"""CenterPrior: where in a box the objects of a class lie, learned (AutoAssign, arXiv 2007.03496, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..functional.assignment import columns
from ..functional.center_prior import log_gaussian, precision_of
from ..registry import MODELS

STRIDES = (8, 16, 32, 64, 128)
TOPK = 9  # points that an object without a grid point takes with force_topk (mmdet's default)


@MODELS.register_module()
class CenterPrior(nn.Module):
    """Mean and sigma of a Gaussian over the points of a box, for each class, shared by all levels.

    Arguments and parameter names of mmdet's module.

    Differs from mmdet's: it is called with pairs of a point and a box, not with every point and every box, and gives
    logarithms; a sigma of 0 is not NaN.

    Args:
        force_topk: Objects without a grid point take the ``topk`` nearest ones of the level that fits them.
        topk: See ``force_topk``.
        num_classes: C.
        strides: Pixels per cell of each level.

    Raises:
        ValueError: If ``topk`` is below 1.
    """

    def __init__(
        self, force_topk: bool = False, topk: int = TOPK, num_classes: int = 80, strides: Sequence[int] = STRIDES
    ) -> None:
        super().__init__()
        if topk < 1:
            raise ValueError(f'topk must be at least 1, but got {topk}')
        self.mean = nn.Parameter(torch.zeros(num_classes, 2))
        self.sigma = nn.Parameter(torch.ones(num_classes, 2))
        self.strides = tuple(strides)
        self.force_topk = force_topk
        self.topk = topk

    def forward(self, offset: Tensor, labels: Tensor, box: Tensor) -> Tensor:
        """Logarithm of the prior weight of each pair, (P,) float32.

        Args:
            offset: (2, P) point - box center in strides of the point's level, x and y.
            labels: Class of each box.
            box: (P,) the box of each pair.
        """
        of_class = torch.cat((self.mean.float(), precision_of(self.sigma.float())), 1)  # (C, 4)
        mean, precision = columns(of_class[labels].t(), box).split(2)  # (2, P) each
        return log_gaussian(offset - mean, precision).sum(0)
