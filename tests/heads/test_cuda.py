"""Losses and decoding never wait for the device: torch reports it on a GPU (``make test-gpu``), operators on a CPU."""

import warnings

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mmdet_kpheads.structures import GroundTruth
from tests.scenes import metas, well_formed
from tests.training import SMALL_HEADS, features_of, small_head, summed

PX, CLASSES, IMAGES = 64, 3, 2
WAITING = {'aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select'}
pytestmark = pytest.mark.usefixtures('as_on_a_gpu')
CUDA = pytest.param(
    'cuda',
    marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')],
)
DEVICES = pytest.mark.parametrize('device', ['cpu', CUDA])


@pytest.fixture(autouse=True)
def backend():
    """Once: the heads are built as on another device."""
    return 'auto'


def waits(call, device):
    """How often the host waits for the device: told by torch on a GPU, by the operators that would on a CPU."""
    call()  # what is done once is done
    if device == 'cpu':
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            call()
        return sum(event.name in WAITING for event in profiler.events())
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            call()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchronizing' in str(warning.message) for warning in caught)


def scene(name, device):
    head = small_head(name).to(device)
    features = tuple(level.to(device) for level in features_of(name, IMAGES, 0))
    images = [well_formed(number, CLASSES, PX, seed=number).to(device) for number in (3, 0)]
    return head, features, images, metas(IMAGES, PX)


def step_of(name, device):
    head, features, images, img_metas = scene(name, device)

    def step():
        loss = summed(head.loss_by_feat(*head(features), images, img_metas))
        loss.backward()

    return step


@DEVICES
@pytest.mark.parametrize('name', ['centernet', 'cornernet'])
def test_a_training_step_of_a_heat_map_head_waits_nowhere(name, device):
    assert waits(step_of(name, device), device) == 0


@DEVICES
def test_a_training_step_of_autoassign_waits_once(device):
    """For the number of pairs."""
    assert waits(step_of('autoassign', device), device) == 1


@DEVICES
@pytest.mark.parametrize('name', SMALL_HEADS)
@torch.no_grad()
def test_decoding_waits_nowhere_up_to_tensors_of_fixed_size(name, device):
    head, features, _, img_metas = scene(name, device)
    maps = head(features)

    def decode():
        return head.decode(*maps, batch_img_metas=img_metas)

    assert waits(decode, device) == 0
    assert decode().boxes.isfinite().all()


ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.mark.cuda
@ON_CUDA
@pytest.mark.parametrize('name', ['centernet', 'cornernet'])
def test_torch_finds_no_wait_in_error_mode(name):
    step = step_of(name, 'cuda')
    step()  # compiled
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.cuda
@ON_CUDA
@pytest.mark.parametrize('name', SMALL_HEADS)
def test_losses_and_gradients_are_those_of_the_formulas_on_a_cpu(name):
    """From the same maps, computed on the CPU."""
    head, features, images, img_metas = scene(name, 'cpu')
    with torch.no_grad():
        maps = head(features)
    results = []
    for device in ('cuda', 'cpu'):
        here = [[level.to(device).requires_grad_() for level in levels] for levels in maps]
        leaves = [level for levels in here for level in levels]
        truth = [image.to(device) for image in images]
        total = summed(head.to(device).loss_by_feat(*here, truth, img_metas))
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        results.append([value if value is None else value.cpu() for value in (total.detach(), *gradients)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.cuda
@ON_CUDA
@pytest.mark.parametrize('name', ['centernet', 'cornernet'])
def test_a_cuda_graph_captures_loss_and_backward(name):
    """Replayed with other maps, it gives their loss and gradients."""
    head, features, images, img_metas = scene(name, 'cuda')
    maps = [[level.detach().requires_grad_() for level in levels] for levels in head(features)]
    leaves = [level for levels in maps for level in levels]
    truth = GroundTruth.from_instances(images, img_metas, CLASSES, name)

    def step():
        for leaf in leaves:
            leaf.grad = None
        total = summed(head.loss_by_truth(*maps, truth=truth, input_size=(PX, PX)))
        total.backward()
        return total

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        for leaf in leaves:
            leaf.mul_(-0.5)
    graph.replay()
    found = [captured.clone(), *(leaf.grad.clone() for leaf in leaves)]
    expected = [step().clone(), *(leaf.grad for leaf in leaves)]
    for value, right in zip(found, expected, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-5)
