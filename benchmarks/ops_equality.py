"""Compares the ops of this package with mmcv's compiled ones, through mmcv's own Python wrappers.

    python benchmarks/ops_equality.py           # needs a compiled mmcv; prints a Markdown table
    python benchmarks/ops_equality.py --save    # also writes the compiled ops' results for the tests

A deviation is the largest difference divided by the largest value of the compiled result; above 1e-5 the exit
code is 1. Inputs are given by an integer formula, so that results alone are stored.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import mmdet_kpheads  # noqa: F401  (first: mmcv.ops may need its fallback)

# isort: split
from mmcv import ops as mmcv_ops

from mmdet_kpheads.compat import mmcv_ext, stack

GOLDEN = Path(__file__).parents[1] / 'tests' / 'golden' / 'compiled_ops.npz'
LIMIT = 1e-5
WRAPPERS = ('nms', 'deform_conv', 'modulated_deform_conv', 'roi_align')
CONVOLUTIONS: dict[str, tuple] = {  # name: groups, deform groups, stride, padding, dilation, factor of the offsets
    'plain': (1, 1, 1, 1, 1, 3.0),
    'zero offsets': (1, 1, 1, 1, 1, 0.0),
    'whole-cell offsets': (1, 1, 1, 1, 1, 'whole'),
    'groups 2': (2, 1, 1, 1, 1, 3.0),
    'deform groups 2': (1, 2, 1, 1, 1, 3.0),
    'groups 2, deform groups 4': (2, 4, 1, 1, 1, 3.0),
    'stride 2': (1, 1, 2, 1, 1, 3.0),
    'stride (2, 1), dilation (1, 2), padding (0, 2)': (2, 2, (2, 1), (0, 2), (1, 2), 3.0),
    'dilation 2': (1, 1, 1, 2, 2, 3.0),
}


class Case(NamedTuple):
    """One setting of one op; ``run`` takes the size of the input and gives named results."""

    op: str
    setting: str
    run: Callable[[int], dict[str, Tensor]]


def uniform(seed: int, *shape: int) -> Tensor:
    """Give numbers in [0, 1) by a formula on whole numbers: the same on every machine."""
    count = int(np.prod(shape))
    bits = (torch.arange(count) * 2654435761 + (seed + 1) * 40503) % 2**32
    for factor in (2246822519, 3266489917):
        bits = ((bits ^ (bits >> 15)) * factor) % 2**32
    return (bits.double() / 2**32).float().view(shape)


def boxes(seed: int, count: int, field: float = 60.0, side: float = 30.0) -> Tensor:
    """Give (count, 4) xyxy boxes in a field, sides 1 to ``side``, in pixels."""
    corner = uniform(seed, count, 2) * field
    return torch.cat([corner, corner + 1 + uniform(seed + 1, count, 2) * (side - 1)], 1)


def cases() -> list[Case]:
    """List every op in every setting."""
    found = [
        Case('nms', f'offset {offset}, threshold {threshold}', _nms(offset, threshold))
        for offset in (0, 1)
        for threshold in (0.1, 0.5, 0.9)
    ]
    found += [
        Case(f'soft_nms {method}', f'offset {offset}, least score {least}', _soft_nms(method, offset, least))
        for method in ('naive', 'linear', 'gaussian')
        for offset in (0, 1)
        for least in (0.001, 0.3)
    ]
    found += [Case('batched_nms', name, _batched_nms(name)) for name in ('nms', 'soft_nms', 'by class')]
    for name in CONVOLUTIONS:
        found.append(Case('deform_conv v1', name, _deform_conv(name, version=1)))
        found.append(Case('deform_conv v2', name, _deform_conv(name, version=2)))
    found += [
        Case(
            f'roi_align {mode}',
            f'sampling ratio {ratio}, aligned {aligned}',
            _roi_align(mode, ratio, aligned),
        )
        for mode in ('avg', 'max')
        for ratio in (0, 2)
        for aligned in (True, False)
    ]
    return found


@contextmanager
def ops_from(module: Any) -> Iterator[None]:
    """Let mmcv's wrappers call the ops of another module than ``mmcv._ext``."""
    wrappers: list[Any] = [importlib.import_module(f'mmcv.ops.{name}') for name in WRAPPERS]
    before = [wrapper.ext_module for wrapper in wrappers]
    try:
        for wrapper in wrappers:
            wrapper.ext_module = module
        yield
    finally:
        for wrapper, old in zip(wrappers, before, strict=True):
            wrapper.ext_module = old


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference divided by the largest value; infinite if a shape or index differs."""
    if ours.shape != theirs.shape or not (ours.is_floating_point() or torch.equal(ours, theirs)):
        return float('inf')
    if not ours.numel():
        return 0.0
    largest = theirs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return ((ours - theirs).abs().max() / largest).nan_to_num(nan=torch.inf).item()


def _nms(offset: int, threshold: float) -> Callable:
    def run(size: int) -> dict[str, Tensor]:
        kept = mmcv_ops.nms(boxes(1, 50 * size), uniform(3, 50 * size), threshold, offset)[1]
        return {'kept': kept}

    return run


def _soft_nms(method: str, offset: int, least: float) -> Callable:
    def run(size: int) -> dict[str, Tensor]:
        count = 40 * size
        dets, kept = mmcv_ops.soft_nms(boxes(4, count), uniform(6, count), 0.3, 0.5, least, method, offset)
        return {'kept': kept, 'boxes and scores': dets}

    return run


def _batched_nms(name: str) -> Callable:
    kinds: dict[str, dict] = {
        'nms': {'type': 'nms', 'iou_threshold': 0.5},
        'soft_nms': {'type': 'soft_nms', 'iou_threshold': 0.5, 'method': 'gaussian'},
        'by class': {'type': 'nms', 'iou_threshold': 0.5, 'split_thr': 10},
    }

    def run(size: int) -> dict[str, Tensor]:
        count = 60 * size
        labels = (uniform(9, count) * 3).long()
        dets, kept = mmcv_ops.batched_nms(boxes(7, count), uniform(10, count), labels, kinds[name])
        return {'kept': kept, 'boxes and scores': dets}

    return run


def _deform_conv(name: str, version: int) -> Callable:
    groups, deform_groups, *geometry, factor = CONVOLUTIONS[name]

    def run(size: int) -> dict[str, Tensor]:
        batch, channels, h, w = 2, 4 * size, 5 * size, 4 * size
        stride, pad, dilation = (g if isinstance(g, tuple) else (g, g) for g in geometry)
        out_size = [(n + 2 * pad[i] - 2 * dilation[i] - 1) // stride[i] + 1 for i, n in enumerate((h, w))]
        moves = uniform(13, batch, deform_groups * 18, *out_size) * 2 - 1
        moves = (moves * 2).round() if factor == 'whole' else moves * factor
        tensors = {
            'x': uniform(14, batch, channels, h, w) - 0.5,
            'offset': moves,
            'weight': uniform(15, 4 * size, channels // groups, 3, 3) - 0.5,
        }
        if version == 2:
            tensors['mask'] = uniform(16, batch, deform_groups * 9, *out_size)
            tensors['bias'] = uniform(17, 4 * size)
        x, offset, weight, *rest = (tensor.requires_grad_() for tensor in tensors.values())
        sizes = (*geometry, groups, deform_groups)
        if version == 2:
            out = mmcv_ops.modulated_deform_conv2d(x, offset, rest[0], weight, rest[1], *sizes)
        else:
            out = mmcv_ops.deform_conv2d(x, offset, weight, *sizes)
        return _with_gradients(out, tensors)

    return run


def _roi_align(mode: str, ratio: int, aligned: bool) -> Callable:
    def run(size: int) -> dict[str, Tensor]:
        count = 6 * size
        x = uniform(18, 2, 2 * size, 8 * size, 9 * size) - 0.5
        field = 32.0 * size
        image = (uniform(19, count, 1) * 2).floor()
        rois = torch.cat([image, boxes(20, count, field, field) - 6], 1)  # some reach over the border
        out = mmcv_ops.roi_align(x.requires_grad_(), rois, (3, 2), 0.25, ratio, mode, aligned)
        return _with_gradients(out, {'x': x})

    return run


def _with_gradients(out: Tensor, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the gradients by every input, for a formula gradient of the output."""
    gradients = torch.autograd.grad(out, list(inputs.values()), uniform(21, *out.shape) - 0.5)
    named = {f'gradient by {name}': g for name, g in zip(inputs, gradients, strict=True)}
    return {'output': out.detach(), **named}


def compare(sizes: tuple[int, ...] = (1, 4)) -> dict[tuple[str, str], list[float]]:
    """The deviations over all settings and sizes for each op and result."""
    ours = mmcv_ext.fallback_ops()
    found: dict[tuple[str, str], list[float]] = {}
    for case in cases():
        for size in sizes:
            theirs = case.run(size)
            with ops_from(ours):
                mine = case.run(size)
            for name, value in theirs.items():
                found.setdefault((case.op, name), []).append(deviation(mine[name], value))
    return found


def save() -> None:
    """Write the compiled ops' results on small inputs."""
    results: dict[str, Any] = {
        f'{c.op}|{c.setting}|{name}': value.numpy() for c in cases() for name, value in c.run(1).items()
    }
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **results)
    sys.stderr.write(f'{GOLDEN}: {len(results)} results, {GOLDEN.stat().st_size / 1000:.0f} kB\n')


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--save', action='store_true', help='write the golden numbers of the tests')
    arguments = parser.parse_args()
    if mmcv_ext.provide():
        parser.error('this mmcv has no compiled ops to compare with')
    table = compare()
    versions = ', '.join(name for module in stack.VERSIONS for name in stack.installed(module))
    print(f'Compared with {versions}, torch {torch.__version__}, CPU:\n')
    print('| op | result | settings | largest deviation |\n| --- | --- | --- | --- |')
    for (op, name), deviations in table.items():
        print(f'| {op} | {name} | {len(deviations)} | {max(deviations):.1e} |')
    if arguments.save:
        save()
    return int(max(max(d) for d in table.values()) > LIMIT)


if __name__ == '__main__':
    sys.exit(main())
