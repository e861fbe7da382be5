"""The examples of the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import mmdet_kpheads

SKIPPED = ('mmdet_kpheads.__main__', 'mmdet_kpheads.drop_in')  # they act on import
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(mmdet_kpheads.__path__, 'mmdet_kpheads.')
    if module.name not in SKIPPED
)


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
    if name.endswith('.triton_kernels'):
        pytest.importorskip('triton', reason='Triton is not installed')
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in finder.find(module, name, globs=vars(module) | {'torch': torch}):
        assert runner.run(example).failed == 0, f'{example.name}: see the output above'


def test_there_are_examples():
    found = [importlib.import_module(name) for name in MODULES if '.functional.' in name or '.heads.' in name]
    assert sum(len(test.examples) for module in found for test in doctest.DocTestFinder().find(module)) > 8
