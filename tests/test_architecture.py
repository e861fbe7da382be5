"""The rules of docs/architecture.md that a reader of the source can check."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

import mmdet_kpheads

PACKAGE = Path(mmdet_kpheads.__file__).parent
# which folders a folder may import from, beside itself
LAYERS = {
    'functional': set(),
    'ops': set(),
    'structures': {'backends', 'errors', 'functional'},
    'kernels': {'compat', 'functional', 'ops'},
    'targets': {'backends', 'functional', 'structures'},
    'losses': {'backends', 'functional', 'registry', 'structures', 'targets'},
    'decoding': {'backends', 'functional', 'structures'},
}
ALLOWED_TWICE = {'__init__', 'version'}


def modules(folder='.'):
    return sorted((PACKAGE / folder).rglob('*.py'))


def imported_folders(path):
    """Folders of the package that a module imports from, by relative import."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module.split('.')[0]] if node.module else [alias.name for alias in node.names]


@pytest.mark.parametrize('folder', LAYERS)
def test_a_layer_imports_from_those_below_it_alone(folder):
    for path in modules(folder):
        assert set(imported_folders(path)) <= LAYERS[folder], path


@pytest.mark.parametrize(
    'forbidden',
    [
        r'device\.type',
        'is_cuda',
        'is_cpu',
        'is_compiling',
        r'autograd\.Function',
        r'import logging',
        'print_log',
        r'^\s*global ',
        r'register_module',
        'InstanceData',
    ],
)
def test_formulas_know_no_device_no_compiler_and_no_log(forbidden):
    for path in modules('functional'):
        assert not re.search(forbidden, path.read_text(), re.MULTILINE), path


def test_nobody_reassigns_what_a_formula_reads():
    """A test or benchmark that patches a module of functional/ would choose by a global again."""
    for path in [*PACKAGE.parent.glob('tests/**/*.py'), *PACKAGE.parent.glob('benchmarks/*.py')]:
        assert not re.search(r'setattr\(.?mmdet_kpheads\.functional|setattr\(functional', path.read_text()), path


def test_pixels_and_cells_are_converted_in_one_module():
    scaling = re.compile(r'(px_per_cell|cells_per_px|input_size\[\d\] ?/|/ ?input_size)')
    found = {path.name for path in modules() if scaling.search(path.read_text())}
    assert found <= {'geometry.py'}


def test_every_warning_is_of_the_class_that_the_terminal_shows():
    nodes = [node for path in modules() for node in ast.walk(ast.parse(path.read_text()))]
    calls = [ast.unparse(node) for node in nodes if isinstance(node, ast.Call)]
    calls = [call for call in calls if call.startswith('warnings.warn(')]
    assert len(calls) >= 5 and all('KpheadsWarning' in call for call in calls), calls


def test_no_two_modules_have_one_name():
    counts = Counter(path.stem for path in modules() if path.stem not in ALLOWED_TWICE)
    assert [name for name, count in counts.items() if count > 1] == []


def test_own_gradients_keep_tensors_with_save_for_backward_alone():
    """A tensor or closure on ``ctx`` would outlive the graph and escape the hooks for saved tensors."""
    plain = {'dtype', 'dtypes', 'from_end', 'powers'}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == 'ctx':
                assert node.attr in plain, f'{path}: ctx.{node.attr}'


def length(node):
    return node.end_lineno - node.lineno + 1


def test_functions_are_short():
    """At most 50 lines of code; constructors keep mmdet's signatures and are not counted."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name != '__init__':
                lines = length(node) - (length(node.body[0]) if ast.get_docstring(node) else 0)
                assert lines <= 50, f'{path}:{node.lineno} {node.name}: {lines}'
