"""Some configs inherit from this package by name, as the commands resolve it."""

import pytest

from mmdet_kpheads import compat


@pytest.fixture(scope='session', autouse=True)
def installed():
    compat.install()
