"""Counting the ops of a training step. They must not grow with the number of objects, nor wait for the device."""

from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

SYNCS = {'aten::_local_scalar_dense', 'aten::nonzero'}


class _Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def dispatched(step):
    """Ops that Python and autograd issue: does not see how a kernel splits its work for a size."""
    with _Counter() as counter:
        step()
    return counter.count


def profiled(step):
    """All ops that the profiler sees, those inside others included."""
    with profile(activities=[ProfilerActivity.CPU]) as record:
        step()
    names = [event.name for event in record.events() if event.name.startswith('aten::')]
    assert names
    assert not SYNCS & set(names)
    return len(names)
