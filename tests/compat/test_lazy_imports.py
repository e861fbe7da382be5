"""Imports of mmdet's modules are deferred, those of others are not."""

import ast
import builtins
import gc
import re
import sys
from pathlib import Path

import mmdet
import pytest
import torch

from mmdet_kpheads.compat import lazy_imports
from mmdet_kpheads.compat.lazy_imports import PACKAGES, Deferred, deferred
from tests.compat.processes import call


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that is not imported yet."""
    (tmp_path / 'lazy_example/inner').mkdir(parents=True)
    (tmp_path / 'lazy_example/__init__.py').write_text('NUMBER = 3\n')
    (tmp_path / 'lazy_example/inner/__init__.py').write_text('def double(x, times=1):\n    return 2 * x * times\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(lazy_imports.DEFERRED, 'mmdet', ('lazy_example', 'lazy_missing'))
    yield 'lazy_example'
    for name in [name for name in sys.modules if name.startswith('lazy_example')]:
        del sys.modules[name]


def imported(statement, importer='mmdet.example'):
    """What an import statement binds in a module."""
    namespace = {'__name__': importer}
    with deferred():
        exec(statement, namespace)
    return namespace


@pytest.mark.parametrize(
    ('statement', 'used'),
    [
        ('from lazy_example.inner import double', 'double(2, times=2)'),
        ('from lazy_example import inner', 'inner.double(4)'),
        ('import lazy_example.inner', 'lazy_example.inner.double(4)'),
        ('import lazy_example.inner as alias', 'alias.double(4)'),
        ('import lazy_example', 'lazy_example.NUMBER + 5'),
    ],
)
def test_a_name_resolves_on_first_use(statement, used, package):
    namespace = imported(statement)
    assert package not in sys.modules
    assert eval(used, namespace) == 8
    assert not isinstance(sys.modules[package], Deferred)


@pytest.mark.parametrize('importer', ['mmdet_other', 'lazy_user.mmdet', '__main__'])
def test_others_get_the_package(importer, package):
    namespace = imported(f'import {package}', importer)
    assert namespace[package] is sys.modules[package]


def test_an_imported_package_is_used(package):
    exec(f'import {package}')
    assert imported(f'import {package}')[package] is sys.modules[package]


def test_a_missing_package_raises_where_it_is_imported(package):
    before = builtins.__import__
    with pytest.raises(ModuleNotFoundError, match="No module named 'lazy_missing'"):
        imported('from lazy_missing.inner import name')
    assert builtins.__import__ is before


def test_garbage_collection_and_torchscript_are_off_inside_and_on_after():
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    with pytest.raises(ImportError, match='inside'), deferred():
        assert not gc.isenabled()
        assert torch.jit.script(double) is double
        raise ImportError('inside')
    assert gc.isenabled()
    assert isinstance(torch.jit.script(double), torch.jit.ScriptFunction)


def test_a_collection_that_was_off_stays_off():
    gc.disable()
    try:
        with deferred():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


ENVIRONMENT = """
import sys
import mmdet_kpheads
from mmdet_kpheads.compat import lazy_imports
from mmengine.utils.dl_utils import collect_env
large = {'distutils', 'setuptools'}
before = large & set(sys.modules)
with lazy_imports.deferred():
    found = collect_env()
print('PyTorch' in found, large & set(sys.modules) == before)
"""


def test_the_report_on_the_environment_does_not_import_setuptools():
    seen = call('-c', ENVIRONMENT)
    assert seen.stdout.splitlines()[-1:] == ['True True'], seen.stderr


def checked_names(tree):
    """Names in base classes, and in the second argument of isinstance and issubclass."""
    for node in ast.walk(tree):
        found = node.bases if isinstance(node, ast.ClassDef) else []
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('isinstance', 'issubclass'):
            found = node.args[1:]
        yield from (name.id for part in found for name in ast.walk(part) if isinstance(name, ast.Name))


def bound_names(tree):
    """Names that imports of ``PACKAGES`` bind."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                path = node.module if isinstance(node, ast.ImportFrom) else alias.name
                if (path or '').split('.')[0] in PACKAGES:
                    yield (alias.asname or alias.name).split('.')[0]


def test_mmdet_does_not_check_types_of_these_packages():
    statement, number = re.compile(rf'^\s*(import|from) ({"|".join(PACKAGES)})\b', re.MULTILINE), 0
    for path in Path(mmdet.__file__).parent.rglob('*.py'):
        if statement.search(text := path.read_text(encoding='utf-8')):
            tree, number = ast.parse(text), number + 1
            assert not set(bound_names(tree)) & set(checked_names(tree)), path
    assert number > 5
