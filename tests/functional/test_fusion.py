"""Passes that are compiled where that pays: when, what the log says, and that the numbers are the same."""

import logging

import pytest
import torch

from mmdet_kpheads.functional import focal, fusion, joint_focal
from mmdet_kpheads.functional.fusion import Fused
from tests.scenes import metas, well_formed
from tests.training import features_of, small_head, summed

CUDA = pytest.param(
    'cuda',
    marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')],
)
INDUCTOR_ON_A_CPU = pytest.param('cpu', marks=pytest.mark.slow)  # the C++ compiler takes some ten seconds


@pytest.fixture
def log(monkeypatch):
    """(message, level) of what is printed."""
    lines = []
    monkeypatch.setattr(fusion, 'print_log', lambda text, logger, level=logging.INFO: lines.append((text, level)))
    return lines


@pytest.fixture
def fused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(fusion, 'FUSED_DEVICES', {'cpu'})


def double(x):
    return x * 2


def wrapped(cause):
    """As torch wraps what its backend raised."""
    error = torch._dynamo.exc.TorchDynamoException("backend='inductor' raised:")
    error.__dict__['inner_exception'] = cause
    return error


def compiler(monkeypatch, compiled):
    """Counts the calls of torch.compile, which gives ``compiled``."""
    calls = []

    def compile_(function):
        calls.append(function)
        return compiled

    monkeypatch.setattr(torch, 'compile', compile_)
    return calls


def test_a_cpu_user_never_waits_for_a_compiler(monkeypatch, log):
    calls = compiler(monkeypatch, None)
    assert Fused(double)(torch.ones(1)) == 2
    assert not calls and not log


@pytest.mark.usefixtures('fused_on_a_cpu')
def test_compiled_once_and_said_in_one_line(monkeypatch, log):
    calls = compiler(monkeypatch, lambda x: x * 2)
    function = Fused(double)
    assert [function(torch.full((n,), 1.5)).tolist() for n in (1, 2)] == [[3.0], [3.0, 3.0]]
    assert calls == [double]
    assert [text for text, _ in log] == [f'compiling {__name__}.double for cpu: some seconds at its first shapes']


@pytest.mark.usefixtures('fused_on_a_cpu')
@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (torch._dynamo.exc.TorchDynamoException('no C compiler\n  found'), 'no C compiler found'),
        (torch._dynamo.exc.TorchDynamoException(), 'TorchDynamoException'),
        (wrapped(ValueError('no Triton')), 'no Triton'),
    ],
)
def test_without_a_compiler_it_runs_as_it_is_and_says_why_once(error, reason, monkeypatch, log):
    def broken(_):
        raise error

    compiler(monkeypatch, broken)
    function = Fused(double)
    assert [function(torch.ones(1)).item() for _ in range(3)] == [2.0] * 3
    (_, (text, level)) = log
    assert text == f'{__name__}.double is not compiled, which makes it slower: {reason}'
    assert level == logging.WARNING


@pytest.mark.usefixtures('fused_on_a_cpu')
def test_where_torch_compile_itself_refuses(monkeypatch, log):
    def unsupported(function):
        raise RuntimeError('torch.compile is not supported on this Python')

    monkeypatch.setattr(torch, 'compile', unsupported)
    function = Fused(double)
    assert [function(torch.ones(1)).item() for _ in range(3)] == [2.0] * 3
    assert [level for _, level in log] == [logging.INFO, logging.WARNING]
    assert log[1][0].endswith('torch.compile is not supported on this Python')


@pytest.mark.usefixtures('fused_on_a_cpu')
def test_errors_of_the_function_are_its_own(monkeypatch, log):
    def out_of_memory(_):
        raise torch.OutOfMemoryError('400 MiB')

    compiler(monkeypatch, out_of_memory)
    with pytest.raises(torch.OutOfMemoryError, match='400 MiB'):
        Fused(double)(torch.ones(1))
    assert len(log) == 1


@pytest.mark.usefixtures('fused_on_a_cpu', 'as_on_a_gpu')
@pytest.mark.parametrize('name', ['centernet', 'autoassign'])
def test_a_compiled_pass_inside_the_loss(name, monkeypatch, log):
    """In the loss of a head, with gradients, and for another number of images."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, 'compile', lambda function: compile_(function, backend='aot_eager', fullgraph=True))
    for module in (focal, joint_focal):
        monkeypatch.setattr(module, '_whole_map', Fused(module._whole_map._function))
    head = small_head(name)
    for images in (2, 1):
        maps = [[x.detach().requires_grad_() for x in levels] for levels in head(features_of(name, images, 0))]
        leaves = [level for levels in maps for level in levels]
        truth = [well_formed(3, 3, 64, seed) for seed in range(images)]
        results = []
        for devices in ({'cpu'}, set()):
            monkeypatch.setattr(fusion, 'FUSED_DEVICES', devices)
            loss = summed(head.loss_by_feat(*maps, truth, metas(images, 64)))
            results.append((loss, *torch.autograd.grad(loss, leaves, allow_unused=True)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO]


def pairs_of_results(function, arguments, device, monkeypatch):
    """Compiled on the device and as it is on a CPU; for two shapes."""
    monkeypatch.setattr(fusion, 'FUSED_DEVICES', {device})
    torch._dynamo.reset()
    fresh = Fused(function._function)
    for images in (1, 2, 2):
        tensors = [value[:images] if isinstance(value, torch.Tensor) else value for value in arguments]
        found = fresh(*(value.to(device) if isinstance(value, torch.Tensor) else value for value in tensors))
        yield [value.cpu() for value in found], function._function(*tensors)
    torch._dynamo.reset()


@pytest.mark.parametrize('device', [INDUCTOR_ON_A_CPU, CUDA])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_compiled_heat_map_loss_is_the_eager_one(device, dtype, monkeypatch, log):
    logits = torch.linspace(-30, 30, 2 * 3 * 40).view(2, 3, 40)[:, :, torch.randperm(40)].view(2, 3, 5, 8)
    target = torch.rand(2, 3, 5, 8)
    target[:, :, 0, 0], target[:, 1] = 1, 0
    arguments = logits.to(dtype), target, None, 2.0, 4.0, 1.0, 1.0, 0.5
    for found, expected in pairs_of_results(focal._whole_map, arguments, device, monkeypatch):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO]  # compiled, and no second line


@pytest.mark.parametrize('device', [INDUCTOR_ON_A_CPU, CUDA])
def test_compiled_joint_loss_is_the_eager_one(device, monkeypatch, log):
    logits, objectness = torch.linspace(-60, 60, 2 * 3 * 40).view(2, 3, 40), torch.linspace(-90, 90, 80).view(2, 1, 40)
    weight = torch.rand(2, 3, 40)
    weight[0, :, :10], weight[1, 0] = 1, 0
    for found, expected in pairs_of_results(joint_focal._whole_map, (logits, objectness, weight), device, monkeypatch):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO]
