"""CenterPrior: where in a box the objects of a class are, learned (AutoAssign, arXiv 2007.03496, section 3.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..functional.autoassign import columns, log_center_prior, precision_of
from ..registry import MODELS

STRIDES = (8, 16, 32, 64, 128)
TOPK = 9  # grid points that an object without one takes with force_topk (mmdet's default)


@MODELS.register_module()
class CenterPrior(nn.Module):
    """Mean and sigma of a Gaussian over the grid points of a box, for each class, shared by all levels.

    Arguments and parameter names of mmdet's module.

    Differs from mmdet's: it is called with pairs of a grid point and an object, not with every point and every object,
    and returns logarithms; a sigma of 0 is not NaN.

    Args:
        force_topk: Objects without a grid point take the ``topk`` nearest ones of the level that fits them.
        topk: See ``force_topk``.
        num_classes: C.
        strides: Pixels per cell of each level.

    Raises:
        ValueError: If ``topk`` is below 1.

    Example:
        >>> prior = CenterPrior(num_classes=1)
        >>> prior(torch.zeros(2, 1), torch.tensor([0]), torch.tensor([0])).exp()  # a point in the center of its box
        tensor([1.], grad_fn=<ExpBackward0>)
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

    def forward(self, offset: Tensor, labels: Tensor, objects: Tensor) -> Tensor:
        """Logarithm of the prior weight of each pair, (P,) float32.

        Args:
            offset: (2, P) grid point - box center in strides of the point's level, x and y.
            labels: Class of each object.
            objects: (P,) the object of each pair.
        """
        of_class = torch.cat((self.mean.float(), precision_of(self.sigma.float())), 1)  # (C, 4)
        mean, precision = columns(of_class[labels].t(), objects).split(2)  # (2, P) each
        return log_center_prior(offset, mean, precision)
