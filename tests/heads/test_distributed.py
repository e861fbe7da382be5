"""Two ranks on the CPU (gloo) against one process with the whole batch."""

import itertools
import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from tests.scenes import metas, well_formed
from tests.training import SMALL_HEADS, features_of, small_head, summed

COUNTS = {'both': (2, 7), 'one rank empty': (3, 0), 'one object in all': (0, 1), 'all empty': (0, 0)}


@pytest.fixture(autouse=True)
def backend():
    """Once: what is summed over ranks is the same for each backend."""
    return 'auto'


class Trainer(torch.nn.Module):
    """Head and loss in one forward, as DistributedDataParallel wants it."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features, images):
        return summed(self.head.loss_by_feat(*self.head(features), images, metas(len(images), 64)))


def build(head):
    torch.manual_seed(0)
    return Trainer(small_head(head))


def gradients(model):
    return [parameter.grad.clone() for parameter in model.parameters()]


def work(rank, port, folder):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    for head, (name, counts) in itertools.product(SMALL_HEADS, COUNTS.items()):
        model = DistributedDataParallel(build(head))  # find_unused_parameters=False
        for _ in range(2):  # a parameter without a gradient shows in the second step
            model.zero_grad()
            model(features_of(head, 1, rank), [well_formed(counts[rank], 3, 64, rank)]).backward()
        if rank == 0:
            torch.save(gradients(model.module), f'{folder}/{head} {name}.pt')
    dist.barrier()
    os._exit(0)  # destroy_process_group can stand still where the other rank has left: seen twice, with all saved


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
@pytest.mark.parametrize('head', SMALL_HEADS)
def test_two_ranks_of_one_image_equal_one_rank_of_two(head, name, two_ranks):
    model = build(head)
    images = [well_formed(count, 3, 64, rank) for rank, count in enumerate(COUNTS[name])]
    features = (torch.cat(pair) for pair in zip(features_of(head, 1, 0), features_of(head, 1, 1), strict=True))
    model(tuple(features), images).backward()
    for ours, expected in zip(torch.load(two_ranks / f'{head} {name}.pt'), gradients(model), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
