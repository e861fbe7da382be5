import sys
from importlib import metadata
from types import ModuleType

import pytest

from mmdet_kpheads import doctor
from mmdet_kpheads.compat import stack


def put(monkeypatch, module, version):
    fake = ModuleType(module)
    fake.__dict__['__version__'] = version
    monkeypatch.setitem(sys.modules, module, fake)


def test_the_installed_stack_fits():
    assert stack.problems() == []
    stack.check()


def test_a_missing_package_is_one_readable_error(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmdet', None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'(?s)mmdet is missing.*pip install "mmdet-kpheads\[onedl\]"'):
        stack.check()


def test_every_problem_is_told_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmengine', None)
    put(monkeypatch, 'mmcv', '1.7.1')
    put(monkeypatch, 'mmdet', '4.0.0rc1')
    first, second, third = stack.problems()
    assert first == 'mmengine is missing'
    assert second == 'mmcv 1.7.1 does not fit: needs >=2.0.0,<3'
    assert third == 'mmdet 4.0.0rc1 does not fit: needs >=3.3.0,<4'


@pytest.mark.parametrize(
    ('error', 'told'),
    [
        (AssertionError('MMCV==2.2.0 is used but incompatible.'), 'does not import: MMCV==2.2.0 is used'),
        (ImportError('libGL.so.1: cannot open'), 'does not import: libGL.so.1'),
        (ModuleNotFoundError("No module named 'scipy'", name='scipy'), 'mmdet needs scipy, which is missing'),
        (metadata.PackageNotFoundError('onedl-mmcv'), 'mmdet needs onedl-mmcv, which is missing'),
    ],
)
def test_what_mmdet_raises_on_import_is_told(monkeypatch, error, told):
    before = stack.importlib.import_module

    def fails(name):
        if name == 'mmdet':
            raise error
        return before(name)

    monkeypatch.setattr(stack.importlib, 'import_module', fails)
    with pytest.raises(ImportError, match=told):
        stack.check()


@pytest.mark.parametrize('version', ['2.0.0', '2.1.0', '2.2.0', '2.3.6', '2.10.0+cu121'])
def test_versions_that_fit(monkeypatch, version):
    put(monkeypatch, 'mmcv', version)
    assert stack.problems() == []


def test_two_stacks_over_one_another_are_told(monkeypatch):
    versions = {'onedl-mmcv': '2.3.6', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0'}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(stack.metadata, 'version', version)
    (told,) = stack.overlaid()
    assert told.startswith('mmcv comes from onedl-mmcv==2.3.6 and mmcv-lite==2.1.0')
    assert 'pip uninstall -y onedl-mmcv mmcv-lite' in told
    lines, usable = doctor.report()
    assert any(line.startswith('WARNING mmcv comes from') for line in lines)
    assert usable
