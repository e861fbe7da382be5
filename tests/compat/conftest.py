"""What ``compat.install()`` changes is tested in place; what an import leaves alone, in processes of their own."""

import pytest

from mmdet_kpheads import compat


@pytest.fixture(scope='session', autouse=True)
def installed():
    compat.install()
