"""Every test of the heads runs with each backend."""

import pytest

from tests.training import BACKEND


def chosen(request):
    """The backend of the heads that the test builds."""
    token = BACKEND.set(request.param)
    yield request.param
    BACKEND.reset(token)


COMPILED = pytest.param('compiled', marks=pytest.mark.slow)
backend = pytest.fixture(params=['cpu', 'reference', COMPILED], autouse=True)(chosen)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """What other devices skip on a CPU too: a look at the labels; with any backend that reads nothing."""
    monkeypatch.setattr('mmdet_kpheads.structures.ground_truth._require_known_labels', lambda *_: None)
    token = BACKEND.set('reference')
    yield
    BACKEND.reset(token)
