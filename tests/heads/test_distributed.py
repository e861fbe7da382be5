"""Two ranks on the CPU (gloo) against one process with the whole batch."""

import itertools
import os
import socket
from contextlib import ExitStack
from functools import cache
from typing import NamedTuple
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from mmdet_kpheads.heads import heatmap_head
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


class Variant(NamedTuple):
    """How the two ranks run."""

    static_graph: bool = False
    compiled: bool = False  # the loss as on CUDA: one graph, which the sum over ranks splits


VARIANTS = {'plain': Variant(), 'static graph': Variant(static_graph=True), 'compiled': Variant(compiled=True)}


def work(rank, port, folder):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group('gloo', rank=rank, world_size=2)
    for head, (name, counts) in itertools.product(SMALL_HEADS, COUNTS.items()):
        steps(rank, head, counts, f'{folder}/{head} {name} plain.pt', VARIANTS['plain'])
    for head in SMALL_HEADS:
        steps(rank, head, COUNTS['both'], f'{folder}/{head} both static graph.pt', VARIANTS['static graph'])
    steps(rank, 'centernet', COUNTS['both'], f'{folder}/centernet both compiled.pt', VARIANTS['compiled'])
    dist.barrier()
    os._exit(0)  # destroy_process_group can stand still where the other rank has left: seen twice, with all saved


def steps(rank, head, counts, path, variant):
    """Two steps with find_unused_parameters=False; the gradients of the second and its collectives are saved."""
    model = DistributedDataParallel(build(head), static_graph=variant.static_graph)
    one_graph = cache(lambda function: torch.compile(function, backend='eager'))
    collectives = []
    real = dist.all_reduce

    def all_reduce(value, *args, **options):
        collectives.append(value.numel())
        return real(value, *args, **options)

    with ExitStack() as stack:
        stack.enter_context(patch.object(dist, 'all_reduce', all_reduce))
        if variant.compiled:
            as_one_graph = patch.object(heatmap_head, 'as_one_graph', lambda function, *_: one_graph(function))
            stack.enter_context(as_one_graph)
        for _ in range(2):  # a parameter without a gradient shows in the second step
            collectives.clear()
            model.zero_grad()
            model(features_of(head, 1, rank), [well_formed(counts[rank], 3, 64, rank)]).backward()
    if rank == 0:
        torch.save((gradients(model.module), collectives), path)


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory):
    """Gradients of two ranks with one image each, saved by case."""
    folder = tmp_path_factory.mktemp('two_ranks')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    mp.spawn(work, (port, str(folder)), nprocs=2)
    return folder


CASES = [
    *(pytest.param(head, name, 'plain', id=f'{head}-{name}') for head in SMALL_HEADS for name in COUNTS),
    *(pytest.param(head, 'both', 'static graph', id=f'{head}-static-graph') for head in SMALL_HEADS),
    pytest.param('centernet', 'both', 'compiled', id='centernet-compiled'),
]


@pytest.mark.parametrize(('head', 'name', 'variant'), CASES)
def test_two_ranks_of_one_image_equal_one_rank_of_two(head, name, variant, two_ranks):
    model = build(head)
    images = [well_formed(count, 3, 64, rank) for rank, count in enumerate(COUNTS[name])]
    features = (torch.cat(pair) for pair in zip(features_of(head, 1, 0), features_of(head, 1, 1), strict=True))
    model(tuple(features), images).backward()
    found, collectives = torch.load(two_ranks / f'{head} {name} {variant}.pt')
    for ours, expected in zip(found, gradients(model), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    # the normalizers, and of CornerNet the images of the embedding loss; the gradients go another way
    assert collectives == {'centernet': [1], 'cornernet': [4, 1], 'autoassign': [2]}[head]
