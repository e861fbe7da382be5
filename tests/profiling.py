"""Which operators a call runs, and whether any of them reads the device."""

from torch.profiler import ProfilerActivity, profile

VIEWS = {'aten::as_strided', 'aten::as_strided_', 'aten::slice', 'aten::narrow'}  # metadata only: no kernel
READS = {'aten::_local_scalar_dense', 'aten::item', 'aten::is_nonzero', 'aten::nonzero', 'aten::masked_select'}


def operators(call) -> list[str]:
    """Names of the operators that Python or autograd called; what an operator calls inside is its own affair."""
    call()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    events = [event for event in profiler.events() if event.name.startswith('aten::')]
    outer = [event for event in events if not (event.cpu_parent and event.cpu_parent.name.startswith('aten::'))]
    return [event.name for event in outer if event.name not in VIEWS]


def device_reads(call) -> set[str]:
    """Operators, at any depth, that would make the host wait for the device."""
    call()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        call()
    return {event.name for event in profiler.events()} & READS
