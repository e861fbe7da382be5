"""Shared fixtures. The package comes first: it makes mmcv.ops importable before any test imports mmdet."""

import os

import hypothesis
import pytest
import torch

import mmdet_kpheads  # noqa: F401

# Property tests: the same few examples in every run, or, with HYPOTHESIS_PROFILE=slow, many new ones.
EVERY = dict(deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck))
hypothesis.settings.register_profile('fast', max_examples=30, derandomize=True, **EVERY)
FIRST = dict(phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])  # no search for a simpler failure
hypothesis.settings.register_profile('few', max_examples=4, derandomize=True, **EVERY, **FIRST)  # for make mutants
hypothesis.settings.register_profile('slow', max_examples=500, **EVERY)
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fast'))

torch.set_num_threads(1)  # small tensors: a second thread costs more than it gives


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


def restored_scope():
    """The default scope is state of the process: what one test sets must not help or hurt the next."""
    from mmengine.registry import DefaultScope

    before = DefaultScope._instance_dict.copy()
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


scope_of_a_test = pytest.fixture(autouse=True)(restored_scope)
scope_of_a_module = pytest.fixture(autouse=True, scope='module')(restored_scope)


@pytest.fixture
def mmdet_scope():
    """Runs a test under default_scope='mmdet', as an mmdet config does."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(params=['reference', 'cpu'])
def backend(request):
    """The versions of a formula that run fast enough on a CPU; tests/kernels tests the compiled ones."""
    return request.param
