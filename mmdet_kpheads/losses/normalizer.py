"""The divisor of losses, over all ranks."""

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def normalizer(count: Tensor) -> Tensor:
    """max(1, sum over ranks) / ranks, element by element.

    So the averaged gradients of all ranks equal those of one process with the whole batch.
    """
    total = count.detach().clone()
    all_reduce(total, op='sum')
    return total.clamp(min=1) / get_world_size()
