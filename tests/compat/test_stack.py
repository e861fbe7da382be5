import sys
from importlib import metadata
from types import ModuleType

import pytest

from mmdet_kpheads import compat
from mmdet_kpheads.cli import doctor
from mmdet_kpheads.compat import stack


def put(monkeypatch, module, version):
    fake = ModuleType(module)
    fake.__dict__['__version__'] = version
    monkeypatch.setitem(sys.modules, module, fake)


def test_the_installed_stack_fits():
    assert stack.problems() == []
    compat.prepare()


def test_a_missing_package_is_one_readable_error(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmdet', None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'(?s)mmdet is missing.*pip install onedl-mmengine=='):
        compat.prepare()


def test_every_problem_is_reported_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmengine', None)
    put(monkeypatch, 'mmcv', '1.7.1')
    put(monkeypatch, 'mmdet', '4.0.0rc1')
    first, second, third = stack.problems()
    assert first == 'mmengine is missing'
    assert second == 'mmcv 1.7.1 does not fit: needs >=2.0.0,<3'
    assert third == 'mmdet 4.0.0rc1 does not fit: needs >=3.3.0,<4'


@pytest.mark.parametrize(
    ('error', 'reported'),
    [
        (AssertionError('MMCV==2.2.0 is used but incompatible.'), 'does not import: MMCV==2.2.0 is used'),
        (ImportError('libGL.so.1: cannot open'), 'does not import: libGL.so.1'),
        (ModuleNotFoundError("No module named 'scipy'", name='scipy'), 'mmdet needs scipy, which is missing'),
        (metadata.PackageNotFoundError('onedl-mmcv'), 'mmdet needs onedl-mmcv, which is missing'),
        (RuntimeError('NumPy 1 needed'), 'does not import: RuntimeError: NumPy 1 needed'),
    ],
)
def test_what_mmdet_raises_on_import_is_reported(monkeypatch, error, reported):
    before = stack.importlib.import_module

    def fails(name):
        if name == 'mmdet':
            raise error
        return before(name)

    monkeypatch.setattr(stack.importlib, 'import_module', fails)
    with pytest.raises(ImportError, match=reported):
        compat.prepare()


def test_a_package_without_a_version_is_incomplete(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv', ModuleType('mmcv'))  # an empty folder imports too
    assert stack.problems() == ['mmcv has no __version__: its installation is incomplete']


@pytest.mark.parametrize('version', ['2.0.0', '2.1.0', '2.2.0', '2.3.6', '2.10.0+cu121'])
def test_versions_that_fit(monkeypatch, version):
    put(monkeypatch, 'mmcv', version)
    assert stack.problems() == []


def test_two_stacks_in_the_same_folders_are_reported(monkeypatch):
    versions = {'onedl-mmcv': '2.3.6', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0'}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(stack.metadata, 'version', version)
    (warning,) = stack.overlaid()
    assert warning.startswith('mmcv comes from onedl-mmcv==2.3.6 and mmcv-lite==2.1.0')
    assert 'pip uninstall -y onedl-mmcv mmcv-lite' in warning
    lines, usable = doctor.report()
    assert any(line.startswith('WARNING mmcv comes from') for line in lines)
    assert usable
