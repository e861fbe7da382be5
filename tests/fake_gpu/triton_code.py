"""Inductor's Triton code of the fused passes, generated and compiled to PTX for a GPU that is not there.

    python -m tests.fake_gpu.triton_code 90        # sm_90; prints JSON: pass -> direction -> kernels, MB that it makes

The graphs are traced on the CPU, as AOTAutograd splits them into forward and backward, and then moved to the device
``cuda`` by name. Uses internals of torch and Triton: tested with torch 2.14.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch._inductor.config
from functorch.compile import aot_function, make_boxed_func, min_cut_rematerialization_partition
from torch import Tensor, fx
from torch._inductor import scheduler
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime import triton_helpers
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.runtime import driver

import mmdet_kpheads  # noqa: F401  (first: mmdet needs it)

# isort: split
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.functional.joint_focal import joint_focal_sum_of_map

CUDA = torch.device('cuda:0')
SPILL = re.compile(r'(\d+) bytes spill stores, (\d+) bytes spill loads')
# Multiprocessors, threads of each: an A100 and an H100.
CARDS = {80: (108, 2048), 90: (132, 2048)}


def passes() -> dict[str, tuple[Callable, list[Tensor]]]:
    """Name the passes that ``kernels/compiled.py`` compiles, with the sizes of the recipes."""
    logits = torch.empty(32, 80, 128, 128, dtype=torch.bfloat16, requires_grad=True)
    points = torch.empty(8, 80, 18134, requires_grad=True)
    return {
        'heat map': (
            lambda x, target, factor: gaussian_focal_sum(x, target, factor=factor),
            [logits, torch.empty(logits.shape), torch.empty(())],
        ),
        'AutoAssign': (
            joint_focal_sum_of_map,
            [points, torch.empty(8, 1, 18134, requires_grad=True), torch.empty(points.shape)],
        ),
    }


class Driver:
    """What Triton asks the driver of a GPU while it compiles."""

    binary_ext = 'cubin'

    def __init__(self, arch: int) -> None:
        self.arch = arch

    def get_current_target(self) -> GPUTarget:
        return GPUTarget('cuda', self.arch, 32)

    def get_current_device(self) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return CUDA


def graphs(function: Callable, inputs: list[Tensor]) -> dict[str, tuple[fx.GraphModule, list[Tensor]]]:
    """Split a function into its forward and backward graph, with their inputs."""
    found: dict[str, tuple[fx.GraphModule, list[Tensor]]] = {}

    def keep(name: str) -> Callable:
        def compiler(graph: fx.GraphModule, example: list[Tensor]) -> Callable:
            found[name] = graph, example
            return make_boxed_func(graph.forward)

        return compiler

    compiled = aot_function(
        function,
        keep('forward'),
        keep('backward'),
        min_cut_rematerialization_partition,
        decompositions=select_decomp_table(),
    )
    compiled(*inputs).backward()
    return found


def made_bytes(graph: fx.GraphModule) -> int:
    """Bytes of what a graph returns and did not get: of a forward graph, what it keeps for backward."""
    (output,) = (node for node in graph.graph.nodes if node.op == 'output')
    made = [node for node in output.args[0] if isinstance(node, fx.Node) and node.op != 'placeholder']
    return sum(node.meta['val'].numel() * node.meta['val'].element_size() for node in made)


def triton_code(graph: fx.GraphModule, inputs: list[Tensor], mode: FakeTensorMode) -> str:
    """Lower a graph of CPU tensors as if they were on the GPU: the source of a module."""
    for node in graph.graph.nodes:
        if 'device' in node.kwargs:
            node.kwargs = {**node.kwargs, 'device': CUDA}
    graph.recompile()
    with mode:
        on_gpu = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=CUDA) for t in inputs]
        FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*on_gpu)
    lowering = GraphLowering(graph, example_inputs=on_gpu)
    with V.set_graph_handler(lowering), V.set_fake_mode(mode), V.set_debug_handler(DebugContext()):
        lowering.run(*on_gpu)
        code: Any = lowering.codegen()[0]
    return str(getattr(code, 'value', code))


def compiled_kernels(code: str, folder: Path, arch: int) -> list[dict[str, Any]]:
    """Compile every kernel of generated code; what the heaviest configuration of each loads, stores and spills."""
    found = []

    def triton(self: AsyncCompile, name: str, source: str, device_str: str = 'cuda') -> Any:
        path = folder / f'{name}.py'
        path.write_text(source)
        spec: Any = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        kernel = getattr(module, name)
        spills = [spilled(kernel._precompile_config(config).kernel.asm['ptx'], arch) for config in kernel.configs]
        found.append(
            {
                'name': name,
                'loads': source.count('tl.load('),
                'stores': source.count('tl.store('),
                'configurations': len(spills),
                'spilled_bytes': max(spills),
            }
        )
        return kernel

    with patch.object(AsyncCompile, 'triton', triton):
        module = types.ModuleType('generated')
        exec(compile(code, str(folder / 'generated.py'), 'exec'), module.__dict__)
    return found


def spilled(ptx: str, arch: int) -> int:
    """Bytes of registers that ptxas has to put into memory."""
    command = [get_ptxas(arch).path, '-v', f'--gpu-name=sm_{arch}{"a" if arch >= 90 else ""}', '-o', '/dev/null', '-']
    with tempfile.NamedTemporaryFile('w', suffix='.ptx') as file:
        file.write(ptx)
        file.flush()
        seen = subprocess.run([*command[:-1], file.name], capture_output=True, text=True, check=True)
    return sum(int(number) for match in SPILL.findall(seen.stderr) for number in match)


def without_gpu(arch: int) -> ExitStack:
    """Replace what Inductor and Triton ask a GPU."""
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
    driver.set_active(Driver(arch))
    stack = ExitStack()
    stack.enter_context(patch.object(DeviceProperties, 'create', lambda device: properties))
    stack.enter_context(patch.object(triton_helpers, 'set_driver_to_gpu', lambda: None))
    stack.enter_context(patch.object(scheduler, 'has_triton', lambda *args: True))
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


def main() -> int:
    """Print the kernels of all passes."""
    arch = int(sys.argv[1])
    found: dict[str, dict[str, Any]] = {}
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        split = {name: graphs(*given) for name, given in passes().items()}
    with without_gpu(arch), tempfile.TemporaryDirectory() as folder:
        for name, directions in split.items():
            for direction, (graph, inputs) in directions.items():
                made = made_bytes(graph)
                code = triton_code(graph, inputs, mode)
                kernels = compiled_kernels(code, Path(folder), arch)
                found.setdefault(name, {})[direction] = {'kernels': kernels, 'made_mb': round(made / 1e6)}
    print(json.dumps(found, indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
