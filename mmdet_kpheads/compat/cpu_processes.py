"""``--launcher pytorch`` on machines without a GPU.

mmengine sets a CUDA device for every backend and passes it to DistributedDataParallel. Both fail without a GPU. Once
installed, if mmengine finds no device but the CPU, processes use the gloo backend and the model is wrapped without a
device.
"""

from typing import Any

from mmengine.device import get_device
from mmengine.dist import utils as mmengine_dist
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import runner as mmengine_runner
from torch import distributed, nn

_mmengine_init = mmengine_dist._init_dist_pytorch


def install() -> None:
    """Make mmengine join processes and wrap models this way."""
    mmengine_dist._init_dist_pytorch = join
    mmengine_runner.MMDistributedDataParallel = wrap


def join(backend: str, **options: Any) -> None:
    """Join the processes that torchrun started.

    Args:
        backend: The backend in the config; without a GPU it is replaced by gloo.
        options: As for ``torch.distributed.init_process_group``.
    """
    if get_device() != 'cpu':
        _mmengine_init(backend, **options)
        return
    options.pop('init_backend', None)
    distributed.init_process_group('gloo', **options)


def wrap(module: nn.Module, device_ids: list[int] | None = None, **options: Any) -> MMDistributedDataParallel:
    """Wrap a model as mmengine's runner does when the config names no wrapper.

    Args:
        module: The model.
        device_ids: The device of this process; ignored on the CPU.
        options: As for ``DistributedDataParallel``.
    """
    return MMDistributedDataParallel(module, device_ids=None if get_device() == 'cpu' else device_ids, **options)
