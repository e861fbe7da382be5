"""Compares plain torch with torchvision's kernels, op by op, where torchvision is installed.

    python -m benchmarks.torchvision_ops                 # on the CPU; prints a Markdown table
    python -m benchmarks.torchvision_ops --device cuda

Both take turns call by call; the ratio of their medians is above 1 where torchvision is faster. It decides where
``ops.torchvision_kernels.USED_ON`` lets torchvision compute.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor

from mmdet_kpheads.ops import deform_conv2d, nms, roi_align, torchvision_kernels

ROUNDS = 7
FIELD_PX, SIDE_PX = 600.0, 100.0


def boxes(count: int, device: str) -> Tensor:
    """Give (count, 4) xyxy boxes in a field, in pixels."""
    corner = torch.rand(count, 2, device=device) * FIELD_PX
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, device=device) * SIDE_PX], 1)


def cases(device: str) -> Iterator[tuple[str, Callable[[], Tensor], bool]]:
    """List names, functions and whether their gradient is wanted."""
    for count in (100, 1000, 5000):
        candidates, scores = boxes(count, device), torch.rand(count, device=device)
        yield f'nms, {count:,} boxes', partial(nms, candidates, scores, 0.5), False
    for batch, channels, side in ((2, 64, 64), (4, 256, 16), (1, 64, 128)):
        x, offset, mask, weight = (
            torch.randn(*shape, device=device, requires_grad=True)
            for shape in (
                (batch, channels, side, side),
                (batch, 18, side, side),
                (batch, 9, side, side),
                (channels, channels, 3, 3),
            )
        )
        name = f'modulated deform_conv, {batch} x {channels} x {side} x {side}'
        for gradient in (False, True):
            yield name, partial(deform_conv2d, x, offset, weight, mask, padding=1), gradient
    rois = torch.cat([torch.zeros(512, 1, device=device), boxes(512, device)], 1)
    x = torch.randn(1, 256, 100, 168, device=device, requires_grad=True)
    for ratio in (0, 2):
        name = f'roi_align avg 7 x 7, 512 boxes, 256 channels, {f"{ratio} x {ratio} samples" if ratio else "adaptive"}'
        for gradient in (False, True):
            yield name, partial(roi_align, x, rois, (7, 7), 0.25, ratio), gradient


def milliseconds(function: Callable[[], Tensor], gradient: bool, used_on: tuple[str, ...]) -> float:
    """Time one call, with its gradient if wanted."""
    with patch.dict(torchvision_kernels.USED_ON, dict.fromkeys(torchvision_kernels.USED_ON, used_on)):
        start = time.perf_counter()
        with torch.set_grad_enabled(gradient):
            out = function()
        if gradient:
            out.sum().backward()
        if out.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu')
    device = parser.parse_args().device
    if torchvision_kernels.torchvision_ops(device) is None:
        parser.error(f'there is no torchvision that runs on {device}')
    torch.manual_seed(0)
    print(f'torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, medians of {ROUNDS} in ms:\n')
    print('| op | | torchvision | plain torch | plain / torchvision |\n| --- | --- | --- | --- | --- |')
    for name, function, gradient in cases(device):
        times: dict[tuple[str, ...], list[float]] = {(device,): [], (): []}
        for _ in range(ROUNDS + 1):
            for used_on, measured in times.items():
                measured.append(milliseconds(function, gradient, used_on))
        theirs, ours = (statistics.median(measured[1:]) for measured in times.values())
        kind = 'with gradient' if gradient else 'forward'
        print(f'| {name} | {kind} | {theirs:.1f} | {ours:.1f} | {ours / theirs:.2f} |', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
