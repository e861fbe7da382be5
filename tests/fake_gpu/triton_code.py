"""Inductor's Triton code of the fused passes, generated and compiled to PTX for a GPU that is not there.

    python -m tests.fake_gpu.triton_code 90        # sm_90; prints JSON: pass -> direction -> kernels, MB that it makes

Also the package's own Triton kernels. Uses internals of torch and Triton: tested with torch 2.14.
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
import triton
from torch import Tensor
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.runtime import triton_helpers
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource
from triton.runtime import driver

import mmdet_kpheads  # noqa: F401  (first: mmdet needs it)

# isort: split
from mmdet_kpheads.functional.gaussian import SIGMAS_PER_DIAMETER
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.functional.joint_focal import joint_focal_sum_of_map
from mmdet_kpheads.kernels import fused_ops, triton_kernels
from tests.fake_gpu.lowering import CUDA, graphs, lower, without_gpu

SPILL = re.compile(r'(\d+) bytes spill stores, (\d+) bytes spill loads')
HEATMAP = {'ALPHA': 2.0, 'GAMMA': 4.0, 'SIGMAS': SIGMAS_PER_DIAMETER, 'WEIGHTED': True, 'CELLS': triton_kernels.CELLS}
TYPES: dict[str, str] = {
    'logits': '*bf16',
    'gradient': '*bf16',
    'box_of_plane': '*i32',
    'boxes': '*i32',
    'labels': '*i64',
}
TYPES |= {name: 'i32' for name in ('num_classes', 'height', 'width', 'number', 'rounds')}
TYPES |= {name: 'fp32' for name in ('pos_weight', 'neg_weight', 'iou_threshold', 'sigma', 'min_score')}
TYPES |= {'indices': '*i64'}
SOFT_NMS = {'METHOD': 'linear', 'OFFSET': 0, 'AGNOSTIC': False}
OWN: list[tuple[str, dict[str, Any], int]] = [  # kernel, its constants, warps
    ('_loss_kernel', HEATMAP, 4),
    ('_slope_kernel', HEATMAP, 4),
    *(
        ('_soft_nms_kernel', {**SOFT_NMS, 'BLOCK': block}, triton_kernels.warps(block))
        for block in (1024, fused_ops.MAX_BOXES)
    ),
]


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
            [points, torch.empty(8, 1, 18134, requires_grad=True)],
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


def own_kernels(arch: int) -> list[dict[str, Any]]:
    """Compile the kernels of the package; what each loads, stores and spills."""
    found = []
    for name, constants, warps in OWN:
        kernel = getattr(triton_kernels, name)
        signature = {
            argument: 'constexpr' if argument in constants else TYPES.get(argument, '*fp32')
            for argument in kernel.arg_names
        }
        source = ASTSource(kernel, signature, constants)
        options = {'num_warps': warps}
        ptx = triton.compile(source, GPUTarget('cuda', arch, 32), options).asm['ptx']
        found.append({'name': name, 'spilled_bytes': spilled(ptx, arch)})
    return found


def pretending(arch: int) -> ExitStack:
    """Replace what Inductor and Triton ask a GPU."""
    driver.set_active(Driver(arch))
    stack = without_gpu(arch)
    stack.enter_context(patch.object(triton_helpers, 'set_driver_to_gpu', lambda: None))
    return stack


def main() -> int:
    """Print the kernels of all passes."""
    arch = int(sys.argv[1])
    found: dict[str, dict[str, Any]] = {}
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    split = {}
    for name, (function, inputs) in passes().items():
        with mode:
            fakes = [torch.empty(t.shape, dtype=t.dtype).requires_grad_(t.requires_grad) for t in inputs]
        split[name] = graphs(function, fakes, mode)
    with pretending(arch), tempfile.TemporaryDirectory() as folder:
        for name, directions in split.items():
            for direction, graph in directions.items():
                lowered = lower(*graph, mode)
                kernels = compiled_kernels(lowered.code, Path(folder), arch)
                found.setdefault(name, {})[direction] = {'kernels': kernels, 'made_mb': round(lowered.made / 1e6)}
        found['own'] = {'all': {'kernels': own_kernels(arch), 'made_mb': 0}}
    print(json.dumps(found, indent=1))
    return 0


if __name__ == '__main__':
    sys.exit(main())
