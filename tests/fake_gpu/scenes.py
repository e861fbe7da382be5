"""Losses, training steps and predictions of the heads on the fake device, each counted.

python -m tests.fake_gpu.scenes                                # a table
python -m tests.fake_gpu.scenes --lines "centernet loss bf16"  # the lines of the package that launch and move most
python -m tests.fake_gpu.scenes --json                         # for the tests
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_unflatten

import mmdet_kpheads  # noqa: F401  (first: mmdet needs it)

# isort: split
from mmdet_kpheads import backends
from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from mmdet_kpheads.heads.postprocess import soft_nms_of_batch
from mmdet_kpheads.kernels import fused_ops
from mmdet_kpheads.kernels.compiled import Compiled
from mmdet_kpheads.losses import normalizer
from mmdet_kpheads.structures import Detections
from tests.fake_gpu.device import DEVICE, LAUNCHES, Counting, fake_tensors, num_bytes, register
from tests.fake_gpu.lowering import Lowered, graphs, lower, without_gpu
from tests.training import summed

PAIRS_PER_BOX = 300  # grid points inside a box over all levels: the answer to the one read of AutoAssign's loss
TYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16}


class Setting(NamedTuple):
    """A head and the size of its input."""

    make: Callable[..., nn.Module]
    channels: int
    batch: int
    size: tuple[int, int]  # of the network input, in pixels
    strides: tuple[int, ...]


STRIDES = (8, 16, 32, 64, 128)  # of FCOS's pyramid
SETTINGS = {
    'centernet': Setting(partial(CenterNetHead, 64, 64, 80), 64, 32, (512, 512), (4,)),
    'cornernet': Setting(partial(CornerNetHead, 80, 64, 1), 64, 32, (512, 512), (4,)),
    'autoassign': Setting(partial(AutoAssignHead, 80, 256, strides=STRIDES), 256, 8, (800, 1088), STRIDES),
}


class Scene:
    """A head on the device with features, maps, ground truth and metas of a batch."""

    def __init__(self, name: str, dtype: torch.dtype, boxes: int = 20) -> None:
        setting = SETTINGS[name]
        self.head: Any = setting.make()
        shape = {'batch_input_shape': setting.size, 'img_shape': setting.size, 'ori_shape': setting.size}
        self.metas = [{**shape, 'scale_factor': (1.0, 1.0)} for _ in range(setting.batch)]
        self.pairs = setting.batch * boxes * PAIRS_PER_BOX
        with fake_tensors():
            move(self.head, dtype)
            height, width = setting.size
            self.features = [
                torch.empty(
                    setting.batch, setting.channels, -(-height // s), -(-width // s), dtype=dtype, device=DEVICE
                )
                for s in setting.strides
            ]
            self.instances = [
                InstanceData(
                    bboxes=torch.empty(boxes, 4, device=DEVICE),
                    labels=torch.empty(boxes, dtype=torch.long, device=DEVICE),
                )
                for _ in range(setting.batch)
            ]
            self.maps = [[leaf(level) for level in levels] for levels in self.forward()]

    def forward(self) -> Any:
        """Features to maps."""
        return self.head(self.features)

    def loss(self) -> None:
        """Losses of given maps, and their gradients."""
        summed(self.head.loss_by_feat(*self.maps, self.instances, self.metas)).backward()

    def step(self) -> None:
        """Forward of the head, losses, gradients of its parameters."""
        summed(self.head.loss_by_feat(*self.forward(), self.instances, self.metas)).backward()

    @torch.no_grad()
    def decode(self) -> None:
        """Maps to boxes of fixed size."""
        self.head.decode(*self.maps, batch_img_metas=self.metas)

    @torch.no_grad()
    def predict(self) -> None:
        """Maps to the results of each image, with the NMS of the head's defaults."""
        self.head.predict_by_feat(*self.maps, batch_img_metas=self.metas)

    @torch.no_grad()
    def soft_nms(self) -> None:
        """As many boxes of each image as CornerNet pairs, of which a hundred are taken."""
        batch, number = SETTINGS['cornernet'].batch, self.head.decoding.num_dets
        boxes, scores = (torch.empty(batch, number, *rest, device=DEVICE) for rest in ((4,), ()))
        labels = torch.empty(batch, number, dtype=torch.long, device=DEVICE)
        found = Detections(boxes, scores, labels, torch.empty(batch, number, dtype=torch.bool, device=DEVICE))
        soft_nms_of_batch(found, {'type': 'soft_nms'}, 100, 'auto')

    def floor(self) -> int:
        """Bytes that a loss must move: each map is read once, its gradient written once."""
        return 2 * sum(num_bytes(level) for levels in self.maps for level in levels)


def leaf(level: Tensor) -> Tensor:
    return level.detach().requires_grad_()


def move(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace parameters and buffers by ones on the device.

    Of a type, since autocast knows no convolution of this device.
    """
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(torch.empty(parameter.shape, dtype=dtype, device=DEVICE))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device=DEVICE)


class Compiling:
    """Stands for ``kernels.compiled.Compiled``: counts the kernels of the graphs that Inductor makes of a function."""

    def __init__(self, counting: Counting, mode: FakeTensorMode) -> None:
        self.counting, self.mode = counting, mode
        self.running = False  # inside another compiled function: a part of it
        self.tracing = False

    def __call__(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call a function and count it, forward and, when that runs, backward."""
        if self.running:
            return function(*args, **options)
        given, layout = tree_flatten((args, options))
        modules = [value for value in given if isinstance(value, nn.Module)]
        names = [name for module in modules for name, _ in module.named_parameters()]
        places = [place for place, value in enumerate(given) if isinstance(value, Tensor)]
        results_layout: Any = None

        def flat(*tensors: Tensor) -> tuple[Any, ...]:
            nonlocal results_layout
            values = list(given)
            for place, tensor in zip(places, tensors, strict=False):
                values[place] = tensor
            args, options = tree_unflatten(values, layout)
            with ExitStack() as stack:
                for module in modules:  # one at most
                    swapped = dict(zip(names, tensors[len(places) :], strict=True))
                    stack.enter_context(_reparametrize_module(module, swapped))
                results, results_layout = tree_flatten(function(*args, **options))
            return tuple(results)

        tensors = [given[place] for place in places] + [p for module in modules for p in module.parameters()]
        results = _Pass.apply(self, flat, self._lowered(flat, tensors), *tensors)
        return tree_unflatten(list(results), results_layout)

    def _lowered(self, flat: Callable[..., Any], tensors: list[Tensor]) -> dict[str, Lowered]:
        """Traced on the CPU, as if that were a GPU: constants are made while it is traced."""
        self.running = self.tracing = True
        own = backends.OF_DEVICE[DEVICE]
        try:
            with (
                _disable_current_modes(),
                patch.object(torch.compiler, 'is_compiling', lambda: True),
                patch.object(backends, 'chosen_backend', lambda tensor, backend='auto': own),
            ):
                with self.mode:
                    leaves = [
                        torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).requires_grad_(t.requires_grad)
                        for t in tensors
                    ]
                split = graphs(flat, leaves, self.mode)
                with without_gpu():
                    return {name: lower(*graph, self.mode) for name, graph in split.items()}
        finally:
            self.running = self.tracing = False

    def run(self, flat: Callable[..., Any], tensors: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """What the function returns, uncounted but for what the host waits for."""
        self.running = True
        try:
            with self.counting.fused(launches=0):
                results = flat(*tensors)
                return tuple(value.detach().clone() if isinstance(value, Tensor) else value for value in results)
        finally:
            self.running = False

    def add(self, graph: Lowered) -> None:
        """Count a graph."""
        launches = sum(LAUNCHES.get(call.split('.')[-2], 1) for call in graph.calls)
        self.counting.counts.launches += launches
        self.counting.counts.moved += graph.moved
        self.counting.counts.launches_of['compiled'] += launches
        self.counting.counts.moved_by['compiled'] += graph.moved
        self.counting.hold(graph.peak)


class _Pass(torch.autograd.Function):
    """Counts the graphs of a compiled function where they would run."""

    @staticmethod
    def forward(ctx: Any, compiling: Compiling, flat: Any, graphs: dict[str, Lowered], *tensors: Tensor) -> Any:
        ctx.compiling, ctx.graphs = compiling, graphs
        ctx.save_for_backward(*tensors)
        graph = graphs.get('forward') or graphs['inference']
        compiling.add(graph)
        if 'backward' in graphs:
            ctx.kept = torch.empty(graph.made, dtype=torch.uint8, device=DEVICE)
        return compiling.run(flat, tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.compiling.add(ctx.graphs['backward'])
        needed = ctx.needs_input_grad[3:]
        pairs = zip(ctx.saved_tensors, needed, strict=True)
        with ctx.compiling.counting.fused(launches=0):
            made = [torch.empty_like(value) if need else None for value, need in pairs]
        ctx.compiling.counting.hold(0)
        return None, None, None, *made


def count(scene: Scene, call: Callable[[], None], backend: str) -> dict[str, Any]:
    """Count a call, with its collective operations and the floor of its bytes, with a backend as the device's own."""
    reductions = 0

    def all_reduce(value: Tensor, op: str) -> None:
        nonlocal reductions
        reductions += not compiling.tracing

    with fake_tensors() as mode, Counting(lambda: scene.pairs) as counting:
        compiling = Compiling(counting, mode)
        with (
            patch.dict(backends.OF_DEVICE, {DEVICE: backend}),
            patch.object(normalizer, 'all_reduce', all_reduce),
            patch.object(normalizer, 'get_world_size', lambda: 2),
            patch.object(
                Compiled, '__call__', lambda self, *args, **options: compiling(self._function, *args, **options)
            ),
            patch.object(fused_ops, 'available', lambda tensor: True),
        ):
            call()
    return {**vars(counting.counts), 'all_reduce': reductions, 'floor': scene.floor()}


def scenes() -> dict[str, Callable[[], dict[str, Any]]]:
    """Name every scene: head, what runs, type."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}

    def add(name: str, head: str, method: str, backend: str = 'reference', **options: Any) -> None:
        def run() -> dict[str, Any]:
            scene = Scene(head, **options)
            return count(scene, getattr(scene, method), backend)

        found[name] = run

    for head in SETTINGS:
        methods = ['loss', 'step', 'decode']
        if head != 'autoassign':  # its NMS has results of sizes that only a device knows
            methods.append('predict')
        for name, dtype in TYPES.items():
            for method in methods:
                add(f'{head} {method} {name}', head, method, dtype=dtype)
                # lowering takes seconds: in the type of the goals, and no step, which differs by its convolutions alone
                if method in ('loss', 'decode') and name == ('fp32' if head == 'autoassign' else 'bf16'):
                    add(f'{head} {method} {name} compiled', head, method, 'compiled', dtype=dtype)
        if head != 'autoassign':  # its pairs grow with the boxes, and in parts they are checkpointed, which aborts here
            add(f'{head} loss bf16 compiled, 1000 boxes', head, 'loss', 'compiled', dtype=torch.bfloat16, boxes=1000)
    add('soft-NMS fp32', 'cornernet', 'soft_nms', dtype=torch.float32)
    add('soft-NMS fp32 compiled', 'cornernet', 'soft_nms', 'compiled', dtype=torch.float32)
    return found


def main() -> int:
    """Print what the scenes count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--lines', metavar='NAME', choices=list(scenes()))
    arguments = parser.parse_args()
    register()
    if arguments.lines:
        found = scenes()[arguments.lines]()
        for place, launches in found['launches_of'].most_common():
            print(f'{launches:5} {found["moved_by"][place] / 1e6:9.1f} MB  {place}')
        return 0
    results = {name: run() for name, run in scenes().items()}
    if arguments.json:
        json.dump(results, sys.stdout)
        return 0
    print('| scene | launches | GB moved | times floor | GB at once | host reads | pageable copies | all_reduce |')
    print('| --- | --- | --- | --- | --- | --- | --- | --- |')
    for name, found in results.items():
        cells = [found['launches'], f'{found["moved"] / 1e9:.2f}', f'{found["moved"] / found["floor"]:.1f}']
        cells += [f'{found["peak"] / 1e9:.2f}', len(found['reads']), len(found['pageable']), found['all_reduce']]
        print(f'| {name} | {" | ".join(map(str, cells))} |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
