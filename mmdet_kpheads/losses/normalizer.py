"""The divisor of losses, over all ranks."""

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from ..backends import outside_graphs


def normalizer(count: Tensor) -> Tensor:
    """max(1, sum over ranks) / ranks, element by element.

    So the averaged gradients of all ranks equal those of one process with the whole batch.
    """
    total = count.detach().clone()
    ranks = get_world_size()
    if ranks > 1:
        _sum_over_ranks(total)
    return total.clamp(min=1) / ranks


@outside_graphs  # a compiled loss is split here, and only where there are several ranks
def _sum_over_ranks(total: Tensor) -> None:
    all_reduce(total, op='sum')
