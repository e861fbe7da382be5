"""Losses and decoders that CUDA compiles as a whole: traced in one graph, for any sizes, with the same numbers."""

import pytest
import torch
from torch._dynamo.backends.registry import lookup_backend
from torch.torch_version import TorchVersion

from mmdet_kpheads import backends
from mmdet_kpheads.kernels.compiled import Compiled
from tests.scenes import metas, well_formed
from tests.training import BACKEND, SMALL_HEADS, features_of, small_head, summed

BATCHES = ((2, 4, 16), (3, 5, 24), (2, 6, 20), (4, 9, 28), (5, 8, 36))  # images, boxes each, cells of the finest map
FEW = BATCHES[:2]  # tracing is slow
ONE_GRAPH = TorchVersion(torch.__version__) >= '2.9'  # older ones do not trace test_cfg: several graphs, equal numbers


@pytest.fixture
def graphs(batches, monkeypatch):
    """Compile on a CPU what CUDA compiles, in one graph, and count the graphs of each function."""
    torch._dynamo.reset()
    counts: dict[str, int] = {}
    compile_ = torch.compile

    def compile_and_count(function):
        def backend(graph, inputs):
            counts[function.__name__] = counts.get(function.__name__, 0) + 1
            return lookup_backend('eager' if batches == FEW else 'aot_eager')(graph, inputs)

        return compile_(function, backend=backend, fullgraph=ONE_GRAPH)

    known: dict = {}
    monkeypatch.setattr(torch, 'compile', compile_and_count)
    monkeypatch.setattr(backends, 'chosen_backend', lambda tensor, backend='auto': backend)
    one_graph = lambda function, tensor, backend: known.setdefault(function, Compiled(function))  # noqa: E731
    for module in ('heads.heatmap_head', 'heads.autoassign_head', 'targets.grid_pairs', 'structures.ground_truth'):
        monkeypatch.setattr(f'mmdet_kpheads.{module}.as_one_graph', by_backend(one_graph))
    monkeypatch.setattr(Compiled, '_give_up', give_up)
    yield counts
    torch._dynamo.reset()


def give_up(self, error):
    raise AssertionError(f'{self._name} is not compiled') from error


def by_backend(one_graph):
    def as_one_graph(function, tensor, backend='auto'):
        return one_graph(function, tensor, backend) if BACKEND.get() == 'compiled' else function

    return as_one_graph


def results(name, backend, images, boxes, cells):
    """Losses, gradients and detections of a batch."""
    token = BACKEND.set(backend)
    torch.manual_seed(0)
    head = HEADS.setdefault((name, backend), small_head(name))
    pixels = 4 * cells
    truth = [well_formed(boxes, 3, pixels, seed) for seed in range(images)]
    maps = [[x.detach().requires_grad_() for x in levels] for levels in head(features_of(name, images, 0, cells))]
    leaves = [level for levels in maps for level in levels]
    losses = head.loss_by_feat(*maps, truth, metas(images, pixels))
    gradients = torch.autograd.grad(summed(losses), leaves, allow_unused=True)
    with torch.no_grad():
        found = head.decode(*maps, batch_img_metas=metas(images, pixels))
    BACKEND.reset(token)
    return losses, gradients, found


HEADS: dict = {}
HEATMAPS = {'_cleaned', 'loss_by_truth', 'decode_level'}
COMPILED = {
    'centernet': HEATMAPS,
    'cornernet': HEATMAPS,
    'autoassign': {'_cleaned', '_rectangles', 'loss_by_pairs', 'decode_grid_points'},
}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if name == 'autoassign' else pytest.mark.slow) for name in SMALL_HEADS]
)
@pytest.mark.parametrize('batches', [FEW, pytest.param(BATCHES, marks=pytest.mark.slow)], ids=['few', 'many'])
def test_whole_losses_and_decoders(name, batches, graphs):
    HEADS.clear()
    for batch in batches:
        found, expected = results(name, 'compiled', *batch), results(name, 'reference', *batch)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert set(graphs) == COMPILED[name]
    if not ONE_GRAPH:
        return
    assert max(graphs.values()) <= 3, graphs  # the first sizes, then any: each dimension is met at two steps at most
