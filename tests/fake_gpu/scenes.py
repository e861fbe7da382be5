"""Losses, training steps and predictions of the heads on the fake device, each counted.

python -m tests.fake_gpu.scenes                                # a table
python -m tests.fake_gpu.scenes --lines "centernet loss bf16"  # the lines of the package that launch and move most
python -m tests.fake_gpu.scenes --json                         # for the tests
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

import mmdet_kpheads  # noqa: F401  (first: mmdet needs it)

# isort: split
from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from mmdet_kpheads.kernels import compiled
from mmdet_kpheads.losses import normalizer
from tests.fake_gpu.device import DEVICE, Counting, fake_tensors, num_bytes, register
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


SETTINGS = {
    'centernet': Setting(partial(CenterNetHead, 64, 64, 80), 64, 32, (512, 512), (4,)),
    'cornernet': Setting(partial(CornerNetHead, 80, 64, 1), 64, 32, (512, 512), (4,)),
    'autoassign': Setting(partial(AutoAssignHead, 80, 256), 256, 8, (800, 1088), (8, 16, 32, 64, 128)),
}


class Scene:
    """A head on the device with features, maps, ground truth and metas of a batch."""

    def __init__(self, name: str, dtype: torch.dtype, boxes: int = 20, backend: str = 'auto') -> None:
        setting = SETTINGS[name]
        self.head: Any = setting.make(backend=backend)
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


class Fused:
    """Stands for ``kernels.compiled.Compiled``: one pass over the inputs forward, one backward.

    Forward is two launches (partial sums, their sum), backward one, which reads the inputs again and writes the
    gradient of those that need one.
    """

    def __init__(self, function: Callable, counting: Counting) -> None:
        self.function, self.counting = function, counting

    def __call__(self, *args: Any, **options: Any) -> Tensor:
        outer = self

        class Pass(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Tensor:
                ctx.args = args
                outer.counting.add_bytes(*(a for a in args if isinstance(a, Tensor)))
                with outer.counting.fused(launches=2):
                    return outer.function(*args, **options).detach()

            @staticmethod
            def backward(ctx: Any, grad: Tensor) -> Any:
                needed = ctx.needs_input_grad
                grads = [torch.empty_like(a) if n else None for a, n in zip(ctx.args, needed, strict=True)]
                outer.counting.add_bytes(*(a for a in ctx.args if isinstance(a, Tensor)), *grads)
                with outer.counting.fused(launches=1):
                    return tuple(grads)

        return Pass.apply(*args)


def count(scene: Scene, call: Callable[[], None]) -> dict[str, Any]:
    """Count a call, with its collective operations and the floor of its bytes."""
    reductions = 0

    def all_reduce(value: Tensor, op: str) -> None:
        nonlocal reductions
        reductions += 1

    with fake_tensors(), Counting(lambda: scene.pairs) as counting, patch.object(normalizer, 'all_reduce', all_reduce):
        fused = {
            name: Fused(getattr(compiled, name)._function, counting)
            for name in ('_focal_sum_of_map', '_joint_focal_sum_of_map')
        }
        with patch.multiple(compiled, **fused):  # type: ignore[call-overload]
            call()
    return {**vars(counting.counts), 'all_reduce': reductions, 'floor': scene.floor()}


def scenes() -> dict[str, Callable[[], dict[str, Any]]]:
    """Name every scene: head, what runs, type."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}

    def add(name: str, head: str, method: str, **options: Any) -> None:
        def run() -> dict[str, Any]:
            scene = Scene(head, **options)
            return count(scene, getattr(scene, method))

        found[name] = run

    for head in SETTINGS:
        for name, dtype in TYPES.items():
            add(f'{head} loss {name}', head, 'loss', dtype=dtype)
            add(f'{head} loss {name} fused', head, 'loss', dtype=dtype, backend='compiled')
            add(f'{head} step {name}', head, 'step', dtype=dtype)
            add(f'{head} decode {name}', head, 'decode', dtype=dtype)
            if head != 'autoassign':  # its NMS has results of sizes that only a device knows
                add(f'{head} predict {name}', head, 'predict', dtype=dtype)
        if head != 'autoassign':  # its pairs grow with the boxes, and in parts they are checkpointed, which aborts here
            add(
                f'{head} loss bf16 fused, 1000 boxes',
                head,
                'loss',
                dtype=torch.bfloat16,
                backend='compiled',
                boxes=1000,
            )
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
