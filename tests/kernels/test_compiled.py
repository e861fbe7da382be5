"""Formulas compiled by Inductor: when, what the log says, and that the numbers are the same."""

import logging
import re

import pytest
import torch

from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.functional.joint_focal import joint_focal_sum_of_map
from mmdet_kpheads.kernels import compiled
from mmdet_kpheads.kernels.compiled import Compiled
from tests.scenes import metas, well_formed
from tests.training import BACKEND, features_of, small_head, summed

CUDA = pytest.param(
    'cuda',
    marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')],
)
INDUCTOR_ON_A_CPU = pytest.param('cpu', marks=pytest.mark.slow)  # the C++ compiler takes some ten seconds


@pytest.fixture
def log(monkeypatch):
    """(message, level) of what is printed."""
    lines = []
    monkeypatch.setattr(compiled, 'print_log', lambda text, logger, level=logging.INFO: lines.append((text, level)))
    return lines


def double(x):
    return x * 2


def wrapped(cause):
    """As torch wraps what its backend raised."""
    error = torch._dynamo.exc.TorchDynamoException("backend='inductor' raised:")
    error.__dict__['inner_exception'] = cause
    return error


def compiler(monkeypatch, result):
    """Counts the calls of torch.compile, which returns ``result``."""
    calls = []

    def compile_(function):
        calls.append(function)
        return result

    monkeypatch.setattr(torch, 'compile', compile_)
    return calls


def test_compiled_once_and_said_in_one_line(monkeypatch, log):
    calls = compiler(monkeypatch, lambda x: x * 2)
    function = Compiled(double)
    assert [function(torch.full((n,), 1.5)).tolist() for n in (1, 2)] == [[3.0], [3.0, 3.0]]
    assert calls == [double]
    before, after = (text for text, _ in log)
    assert before == f'compiling {__name__}.double: this takes some seconds at its first shapes'
    assert re.fullmatch(rf'compiled {__name__}\.double in \d+\.\d s', after)


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
    function = Compiled(double)
    assert [function(torch.ones(1)).item() for _ in range(3)] == [2.0] * 3
    (_, (text, level)) = log
    assert text == f'{__name__}.double is not compiled and therefore slower: {reason}'
    assert level == logging.WARNING


def test_where_torch_compile_itself_refuses(monkeypatch, log):
    def unsupported(function):
        raise RuntimeError('torch.compile is not supported on this Python')

    monkeypatch.setattr(torch, 'compile', unsupported)
    function = Compiled(double)
    assert [function(torch.ones(1)).item() for _ in range(3)] == [2.0] * 3
    assert [level for _, level in log] == [logging.INFO, logging.WARNING]
    assert log[1][0].endswith('torch.compile is not supported on this Python')


def test_errors_of_the_function_are_its_own(monkeypatch, log):
    def out_of_memory(_):
        raise torch.OutOfMemoryError('400 MiB')

    compiler(monkeypatch, out_of_memory)
    with pytest.raises(torch.OutOfMemoryError, match='400 MiB'):
        Compiled(double)(torch.ones(1))
    assert len(log) == 1


@pytest.mark.parametrize('name', ['centernet', 'autoassign'])
def test_a_compiled_pass_inside_the_loss(name, monkeypatch, log):
    """In the loss of a head, with gradients, and for another number of images."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, 'compile', lambda function: compile_(function, backend='aot_eager', fullgraph=True))
    for pass_ in ('_focal_sum_of_map', '_joint_focal_sum_of_map'):
        monkeypatch.setattr(compiled, pass_, Compiled(getattr(compiled, pass_)._function))
    for images in (2, 1):
        truth = [well_formed(3, 3, 64, seed) for seed in range(images)]
        results = []
        for backend in ('compiled', 'reference'):
            token = BACKEND.set(backend)
            torch.manual_seed(0)
            head = small_head(name)
            BACKEND.reset(token)
            maps = [[x.detach().requires_grad_() for x in levels] for levels in head(features_of(name, images, 0))]
            leaves = [level for levels in maps for level in levels]
            loss = summed(head.loss_by_feat(*maps, truth, metas(images, 64)))
            results.append((loss, *torch.autograd.grad(loss, leaves, allow_unused=True)))
        for found, expected in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO] * 2


def pairs_of_results(function, arguments, device):
    """Value and gradients, compiled on the device and eager on a CPU; for two shapes."""
    torch._dynamo.reset()
    fresh = Compiled(function)
    for images in (1, 2, 2):
        tensors = [value[:images] if isinstance(value, torch.Tensor) else value for value in arguments]
        yield value_and_gradients(fresh, tensors, device), value_and_gradients(function, tensors, 'cpu')
    torch._dynamo.reset()


def value_and_gradients(function, arguments, device):
    arguments = [value.to(device) if isinstance(value, torch.Tensor) else value for value in arguments]
    leaves = [value.detach().requires_grad_() for value in arguments[:1]]
    total = function(*leaves, *arguments[1:])
    return [value.cpu() for value in (total.detach(), *torch.autograd.grad(total, leaves))]


@pytest.mark.parametrize('device', [INDUCTOR_ON_A_CPU, CUDA])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_compiled_heat_map_loss_is_the_eager_one(device, dtype, log):
    logits = torch.linspace(-30, 30, 2 * 3 * 40).view(2, 3, 40)[:, :, torch.randperm(40)].view(2, 3, 5, 8)
    target = torch.rand(2, 3, 5, 8)
    target[:, :, 0, 0], target[:, 1] = 1, 0
    arguments = logits.to(dtype), target, None, 2.0, 4.0, 1.0, 1.0, 0.5
    for found, expected in pairs_of_results(gaussian_focal_sum, arguments, device):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO] * 2  # compiled


@pytest.mark.parametrize('device', [INDUCTOR_ON_A_CPU, CUDA])
def test_compiled_joint_loss_is_the_eager_one(device, log):
    logits, objectness = torch.linspace(-60, 60, 2 * 3 * 40).view(2, 3, 40), torch.linspace(-90, 90, 80).view(2, 1, 40)
    weight = torch.rand(2, 3, 40)
    weight[0, :, :10], weight[1, 0] = 1, 0
    for found, expected in pairs_of_results(joint_focal_sum_of_map, (logits, objectness, weight), device):
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert [level for _, level in log] == [logging.INFO] * 2
