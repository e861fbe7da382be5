"""A device ``'gpu'`` without hardware: it runs no kernel, and counts what a real one would launch, move and wait for.

Made of torch's Python backend (``PrivateUse1``), ``FakeTensorMode`` and a dispatch mode. Tensors have shapes, types and
devices, but no values. Registering a backend is global and cannot be undone: use it in a process of its own.
"""

import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.torch_version import TorchVersion
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = 'gpu'
AVAILABLE = TorchVersion(torch.__version__) >= '2.13'  # the counts are those of its operators
# Operators for which the host waits: for a value, or for the size of the result.
READS = {'_local_scalar_dense', 'equal', 'is_nonzero', 'nonzero', 'masked_select', 'unique_dim', '_unique2'}
# Operators without a kernel, beside the views.
NO_KERNEL = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', 'detach', 'lift_fresh', 'alias'}
COPIES = {'_to_copy', 'copy_'}
# Operators that read nothing, and that read or write the cells of an index instead of their whole first argument.
FILLS = {'ones_like', 'zeros_like', 'full_like', 'new_zeros', 'new_ones', 'new_full', 'fill_', 'zero_'}
SPARSE_READS = {'gather', 'index', 'index_select', 'take', 'embedding'}
SPARSE_WRITES = {'scatter_', 'scatter_add_', 'scatter_reduce_', 'index_put_', 'index_add_', 'index_copy_'}
LAUNCHES = {'heatmap_loss': 2}  # of operators that are not one launch: partial sums, their sum
SMALL_BYTES = 4096  # a copy from pageable memory up to here is taken as one that does not wait


def register() -> None:
    """Make the device; once in a process."""

    class Backend(backend_registration._DummyBackendModule):
        @staticmethod
        def get_amp_supported_dtype() -> list[torch.dtype]:
            return [torch.float16, torch.bfloat16]

    backend_registration._setup_privateuseone_for_python_backend(DEVICE, Backend())
    FakeTensorMode.avoid_device_init = property(lambda self: True)  # type: ignore[method-assign, assignment]


def fake_tensors() -> FakeTensorMode:
    """Make a context in which new tensors have no values."""
    return FakeTensorMode(allow_non_fake_inputs=True)


@dataclass
class Counts:
    """What a call would have done on the device."""

    launches: int = 0
    moved: int = 0  # bytes that kernels read and write
    peak: int = 0  # bytes of memory at once, beyond what was there before
    reads: list[str] = field(default_factory=list)  # where the host waited, as 'operator in file:line'
    pageable: list[str] = field(default_factory=list)  # large copies from the host, as 'bytes in file:line'
    launches_of: Counter = field(default_factory=Counter)  # by file:line
    moved_by: Counter = field(default_factory=Counter)  # by file:line


class Counting(TorchDispatchMode):
    """Counts the operators on the device.

    Args:
        answer: What the host gets when it reads one value.
    """

    def __init__(self, answer: Callable[[], float] = lambda: 0) -> None:
        super().__init__()
        self.counts = Counts()
        self._answer = answer
        self._live = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = any(tensor.device.type == DEVICE for tensor in inputs)
        if name in READS and on_device:
            self.counts.reads.append(f'{name} in {_place()}')
        if name == '_local_scalar_dense':  # on the host too: there is no value
            return self._answer()
        out = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        if on_device and name in COPIES and any(tensor.device.type == 'cpu' for tensor in outputs):
            self.counts.reads.append(f'{name} to the host in {_place()}')
        if on_device or any(tensor.device.type == DEVICE for tensor in outputs):
            self._track(inputs, new=False)
            self._track(outputs)
            if not func.is_view and name not in NO_KERNEL and any(tensor.numel() for tensor in outputs):
                self._launch(name, inputs, outputs)
        return out

    @contextmanager
    def fused(self, launches: int) -> Iterator[None]:
        """Count what runs inside as some launches that move nothing; the caller adds what they read and write."""
        kept, self.counts = self.counts, Counts()
        try:
            yield
        finally:
            inside, self.counts = self.counts, kept
            self.counts.reads += inside.reads
            self.counts.pageable += inside.pageable
            self.counts.launches += launches

    def add_bytes(self, *tensors: Tensor | None) -> None:
        """Count one pass over each tensor."""
        self.counts.moved += sum(num_bytes(tensor) for tensor in tensors if tensor is not None)

    def hold(self, size: int) -> None:
        """Note that some more bytes are held at once for a moment."""
        self.counts.peak = max(self.counts.peak, self._live + size)

    def _launch(self, name: str, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        place = _place()
        from_host = max((num_bytes(t) for t in inputs if t.device.type == 'cpu' and name in COPIES), default=0)
        if from_host > SMALL_BYTES:
            self.counts.pageable.append(f'{from_host} bytes in {place}')
        size = moved_by(name, inputs, outputs)
        launches = LAUNCHES.get(name, 1)
        self.counts.launches += launches
        self.counts.moved += size
        self.counts.launches_of[place] += launches
        self.counts.moved_by[place] += size

    def _track(self, tensors: list[Tensor], new: bool = True) -> None:
        """Follow the memory of storages that are new until they are freed."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if tensor.device.type == DEVICE and key not in self._storages:
                size = storage.nbytes() if new else 0
                self._storages.add(key)
                self._live += size
                self.counts.peak = max(self.counts.peak, self._live)
                weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self._live -= size


def moved_by(name: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    """Bytes that an operator reads and writes."""
    if name in FILLS:
        inputs = []
    elif name in SPARSE_READS:
        inputs = [*inputs[1:], *outputs]
    elif name in SPARSE_WRITES:
        inputs, outputs = [*inputs[1:], inputs[-1]], [inputs[-1]]  # the index, and for each value read, compare, write
    return sum(num_bytes(tensor) for tensor in (*inputs, *outputs))


def num_bytes(tensor: Tensor) -> int:
    """Bytes that a kernel moves for a tensor; an element that is expanded counts once."""
    sides = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(size for size, stride in sides if stride or not size) * tensor.element_size()


def _place() -> str:
    """The innermost line of the package, as file:line; 'backward' if none runs."""
    for frame in reversed(traceback.extract_stack()):
        if '/mmdet_kpheads/' in frame.filename:
            return f'{frame.filename.rpartition("/mmdet_kpheads/")[2]}:{frame.lineno}'
    return 'backward'
