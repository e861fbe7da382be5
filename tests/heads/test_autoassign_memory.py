"""Memory of AutoAssign's loss with 1000 boxes in an image of 1333 x 800."""

import gc
from pathlib import Path

import pytest
import torch

from mmdet_kpheads.heads import AutoAssignHead
from tests.scenes import instances
from tests.training import summed

HEIGHT, WIDTH, BOXES, CLASSES, STRIDES = 800, 1333, 1000, 80, (8, 16, 32, 64, 128)
RESET = Path('/proc/self/clear_refs')  # writing 5 makes the peak start again


def status_mb(name: str) -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:')) * 1024 / 1e6


def boxes_of(low: float, high: float):
    """1000 boxes whose sides are this share of the image's."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([WIDTH, HEIGHT])
    side = (low + (high - low) * torch.rand(BOXES, 2, generator=generator)) * size
    corner = torch.rand(BOXES, 2, generator=generator) * (size - side)
    return instances(torch.cat((corner, corner + side), 1), torch.arange(BOXES) % CLASSES)


@pytest.mark.skipif(not RESET.exists(), reason='needs the peak memory of Linux')
@pytest.mark.parametrize(
    ('low', 'high', 'limit_mb'),
    [
        pytest.param(0.02, 0.3, 500, id='boxes of all sizes'),
        pytest.param(0.97, 1.0, 1600, marks=pytest.mark.slow, id='boxes as large as the image'),  # 21 million pairs
    ],
)
def test_peak_memory_of_loss_and_backward(low, high, limit_mb):
    head = AutoAssignHead(
        CLASSES, 32, feat_channels=32, stacked_convs=0, strides=STRIDES, loss_bbox=dict(type='GIoULoss', loss_weight=5)
    )
    sizes = [(-(-HEIGHT // stride), -(-WIDTH // stride)) for stride in STRIDES]
    logits, distances, objectness = (
        [(torch.rand(1, channels, *size) * scale).requires_grad_() for size in sizes]
        for channels, scale in ((CLASSES, 1), (4, 200), (1, 1))
    )
    meta = dict(batch_input_shape=(HEIGHT, WIDTH), img_shape=(HEIGHT, WIDTH))
    image = boxes_of(low, high)
    gc.collect()
    RESET.write_text('5')
    before = status_mb('VmRSS')
    loss = summed(head.loss_by_feat(logits, distances, objectness, [image], [meta]))
    loss.backward()
    assert loss.isfinite()
    assert status_mb('VmHWM') - before < limit_mb
