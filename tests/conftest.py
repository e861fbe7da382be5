"""Shared fixtures. The package comes first: it makes mmcv.ops importable before any test imports mmdet."""

import pytest
import torch

import mmdet_kpheads  # noqa: F401

torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture
def mmdet_scope():
    """Runs a test under default_scope='mmdet', as an mmdet config does."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Makes CPU tensors take the way of a device whose values the host should not read."""
    monkeypatch.setattr('mmdet_kpheads.functional.blocks.HOST_DEVICES', set())


@pytest.fixture(params=['cpu', 'other devices'])
def device_path(request):
    """The way of a CPU, and the way of a device whose values the host should not read."""
    if request.param != 'cpu':
        request.getfixturevalue('as_on_a_gpu')
