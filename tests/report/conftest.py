"""The commands install these changes before they run; here ``write_report`` is called directly."""

import pytest

from mmdet_kpheads import compat


@pytest.fixture(scope='session', autouse=True)
def installed():
    compat.install()
