"""Two ranks on the CPU (gloo) against one process with the whole batch."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from mmdet_kpheads.heads import CenterNetHead
from tests.scenes import metas, well_formed

COUNTS = {'both': (2, 7), 'one rank empty': (3, 0), 'one object in all': (0, 1), 'all empty': (0, 0)}


class Trainer(torch.nn.Module):
    """Head and loss in one forward, as DistributedDataParallel wants it."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feature, images):
        losses = self.head.loss_by_feat(*self.head((feature,)), images, metas(len(images), 64))
        return sum(value for name, value in losses.items() if 'loss' in name)


def build():
    torch.manual_seed(0)
    return Trainer(CenterNetHead(4, 4, 3, loss_bbox=dict(type='GIoULoss', loss_weight=1.0)))


def feature_of(rank):
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(rank))


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def work(rank, port, folder):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    for name, counts in COUNTS.items():
        model = DistributedDataParallel(build())  # find_unused_parameters=False
        for _ in range(2):  # a parameter without a gradient shows in the second step
            model.zero_grad()
            model(feature_of(rank), [well_formed(counts[rank], 3, 64, rank)]).backward()
        if rank == 0:
            torch.save(gradients(model.module), f'{folder}/{name}.pt')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory):
    """Gradients of two ranks with one image each, saved by case."""
    folder = tmp_path_factory.mktemp('two_ranks')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    mp.spawn(work, (port, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize('name', COUNTS)
def test_two_ranks_of_one_image_equal_one_rank_of_two(name, two_ranks):
    model = build()
    images = [well_formed(count, 3, 64, rank) for rank, count in enumerate(COUNTS[name])]
    model(torch.cat([feature_of(0), feature_of(1)]), images).backward()
    for ours, expected in zip(torch.load(two_ranks / f'{name}.pt'), gradients(model), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
