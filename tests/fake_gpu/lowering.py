"""What Inductor makes of a function for a GPU that is not there: its kernels and the bytes that they move.

The graphs are traced on fake tensors, split into forward and backward as ``torch.compile`` splits them, moved to the
device ``cuda`` by name and lowered to code, which is never run; neither CUDA nor Triton is needed. Uses internals of
Inductor.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack
from math import prod
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch._inductor.config
from functorch.compile import aot_function, make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor, fx
from torch._inductor import ir, scheduler
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.fx_passes.joint_graph import joint_graph_passes
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from torch.utils._pytree import tree_map

CUDA = torch.device('cuda:0')
CARDS = {80: (108, 2048), 90: (132, 2048)}  # multiprocessors and threads of each: an A100 and an H100
# What a generated module calls: a Triton kernel, a library, an operator without code of Inductor.
CALL = re.compile(
    r'^\s+(?:\w+ = )?(triton_\w+\.run|extern_kernels\.\w+|torch\.ops\.[\w.]+|aten\.[\w.]+)\(', re.MULTILINE
)

# What it makes, hands on to a new name, and frees.
BUFFER = re.compile(
    r'^\s+(?:(\w+) = empty_strided_cuda\(\(([\d, ]*)\), \([\d, ]*\), torch\.(\w+)\)'
    r'|(\w+) = (?:reinterpret_tensor\()?(\w+).*# reuse|del ([\w, ]+))',
    re.MULTILINE,
)


class Lowered(NamedTuple):
    """One graph as it would run."""

    calls: list[str]  # of kernels
    moved: int  # bytes that they read and write
    made: int  # bytes of what the graph returns and did not get
    peak: int  # bytes of its buffers at once, without those of operators that Inductor does not generate
    code: str


def graphs(
    function: Callable[..., Any], inputs: list[Any], mode: FakeTensorMode
) -> dict[str, tuple[fx.GraphModule, list[Any]]]:
    """Split a function of fake tensors into 'forward' and 'backward', or 'inference' without gradients."""
    found: dict[str, tuple[fx.GraphModule, list[Any]]] = {}

    def keep(name: str) -> Callable:
        def compiler(graph: fx.GraphModule, example: list[Any]) -> Callable:
            found[name] = graph, example
            return make_boxed_func(graph.forward)

        return compiler

    def partition(joint: fx.GraphModule, *args: Any, **options: Any) -> Any:
        with torch._inductor.config.patch(joint_graph_constant_folding=False):  # it would run kernels
            joint_graph_passes(joint)
        forward, backward = min_cut_rematerialization_partition(joint, *args, **options)
        inputs = [node.meta['val'] for node in backward.graph.nodes if node.op == 'placeholder']
        found['backward'] = backward, inputs  # compiled at its first call, which does not come
        return forward, backward

    with mode:
        traced = aot_function(
            function,
            keep('forward'),
            keep('backward, not called'),
            partition,
            decompositions=select_decomp_table(),
            inference_compiler=keep('inference'),
        )
        traced(*inputs)
    return found


def lower(graph: fx.GraphModule, inputs: list[Any], mode: FakeTensorMode) -> Lowered:
    """Lower a graph as if its tensors were on CUDA; inside :func:`without_gpu`."""
    made = made_bytes(graph)
    for node in graph.graph.nodes:
        node.args, node.kwargs = tree_map(_on_cuda, (node.args, node.kwargs))
    inputs = [*inputs, *_constants_as_inputs(graph)]
    graph.graph.eliminate_dead_code()
    graph.recompile()
    with mode:
        on_cuda = [
            torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)
            if isinstance(value, Tensor)
            else value
            for value in inputs
        ]
        FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*on_cuda)
    lowering = GraphLowering(graph, example_inputs=on_cuda)
    with V.set_graph_handler(lowering), V.set_fake_mode(mode), V.set_debug_handler(DebugContext()):
        lowering.run(*on_cuda)
        code: Any = lowering.codegen()[0]
        moved = lowering.count_bytes()[0] - overcounted(lowering)
    text = str(getattr(code, 'value', code))
    call = text[text.index('def call(') :]
    return Lowered(CALL.findall(call), moved, made, peak_bytes(call), text)


def overcounted(lowering: GraphLowering) -> int:
    """Bytes that Inductor counts too many for scatters: the whole of a map, where the cells of the index are meant."""
    total = 0
    for node in (part for fused in lowering.scheduler.nodes for part in fused.get_nodes()):
        data = getattr(node.node, 'data', None)
        if isinstance(data, ir.Scatter):
            size = data.get_dtype().itemsize
            total += size * (2 * int(node.node.get_numel()) - 3 * int(prod(data.get_size())))
    return total


def peak_bytes(call: str) -> int:
    """Bytes of the buffers that a generated module holds at once, beside its inputs, from its code."""
    live: dict[str, int] = {}
    peak = 0
    for made, shape, dtype, target, source, freed in BUFFER.findall(call):
        if made:
            live[made] = prod(int(side) for side in shape.split(',') if side.strip()) * getattr(torch, dtype).itemsize
        elif target:
            live[target] = live.pop(source, 0)
        else:
            for name in freed.split(','):
                live.pop(name.strip(), None)
        peak = max(peak, sum(live.values()))
    return peak


def _constants_as_inputs(graph: fx.GraphModule) -> list[Tensor]:
    """Turn the tensors that a graph holds into inputs, and return them."""
    held = [node for node in graph.graph.nodes if node.op == 'get_attr']
    last = [node for node in graph.graph.nodes if node.op == 'placeholder'][-1]
    values = [getattr(graph, node.target) for node in held]
    for node in reversed(held):
        with graph.graph.inserting_after(last):
            given = graph.graph.placeholder(f'held_{node.name}')
        node.replace_all_uses_with(given)
        graph.graph.erase_node(node)
    return values


def _on_cuda(value: Any) -> Any:
    return CUDA if isinstance(value, torch.device) else value


def made_bytes(graph: fx.GraphModule) -> int:
    """Bytes of what a graph returns and did not get: of a forward graph, what it keeps for backward."""
    (output,) = (node for node in graph.graph.nodes if node.op == 'output')
    made = [node for node in output.args[0] if isinstance(node, fx.Node) and node.op != 'placeholder']
    values = [node.meta['val'] for node in made]
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))


def without_gpu(arch: int = 90) -> ExitStack:
    """Replace what Inductor asks a GPU."""
    processors, threads = CARDS[arch]
    properties = DeviceProperties(
        type='cuda',
        index=0,
        multi_processor_count=processors,
        cc=arch,
        major=arch // 10,
        regs_per_multiprocessor=65536,
        max_threads_per_multi_processor=threads,
        max_threads_per_block=1024,
        warp_size=32,
    )
    stack = ExitStack()
    stack.enter_context(patch.object(DeviceProperties, 'create', lambda device: properties))
    stack.enter_context(patch.object(scheduler, 'has_triton', lambda *args: True))
    stack.enter_context(patch('torch.utils._triton.triton_hash_with_backend', lambda *args: 'none'))
    stack.enter_context(torch._inductor.config.patch(use_static_cuda_launcher=False))
    for name, value in {
        'is_available': True,
        'current_device': 0,
        'device_count': 1,
        'get_device_capability': (arch // 10, arch % 10),
        'get_device_properties': properties,
        'set_device': None,
        'synchronize': None,
        '_lazy_init': None,
    }.items():
        stack.enter_context(patch.object(torch.cuda, name, lambda *args, value=value: value))
    return stack
