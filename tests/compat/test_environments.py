"""The rows of the matrix are what the project promises: in pyproject.toml, the docs and the workflow."""

import re

import pytest

from mmdet_kpheads.compat import environments
from mmdet_kpheads.compat.environments import ROWS, STACKS, Environment, differences, nearest, problems, verdict
from tests.compat.processes import ROOT

PYPROJECT = (ROOT / 'pyproject.toml').read_text()
OLDEST = min(ROWS, key=lambda row: environments.release(row.torch))


def here(**changes):
    return Environment('installed', '3.12', '2.9.1', '0.24.1', 'onedl', '2.2.6')._replace(**changes)


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_a_row_is_tested(row):
    same = row._replace(name='installed', numpy=f'{row.numpy}.3.1' if row.numpy == '2' else row.numpy)
    assert verdict(same) == f'tested: it is the row {row.name!r} of the matrix, which runs on a CPU'
    assert problems(same) == []


@pytest.mark.parametrize(
    ('changes', 'row', 'told'),
    [
        ({'torch': '2.9.0'}, 'middle-onedl', 'torch 2.9.0 (row: 2.9.1)'),
        ({'torch': '2.5.1', 'stack': 'openmmlab'}, 'oldest', 'torch 2.5.1 (row: 2.4.1)'),
        ({'torch': '2.13.0', 'torchvision': '0.28.0', 'python': '3.11'}, 'current', 'torchvision 0.28.0 (row: none)'),
        ({'torch': '3.0.0', 'stack': 'another mix'}, 'oldest', 'stack another mix (row: openmmlab)'),
        ({'torchvision': None}, 'middle-onedl', 'torchvision none (row: 0.24.1)'),
        ({'numpy': '1.26.4'}, 'middle-onedl', 'numpy 1.26.4 (row: 2)'),
        ({'python': '3.14', 'torch': '2.15.0'}, 'newest', 'python 3.14 (row: 3.13)'),
        ({'system': 'Darwin arm64'}, 'middle-onedl', 'system Darwin arm64 (row: Linux x86_64)'),
        ({'mmcv_ops': 'compiled'}, 'middle-onedl', 'mmcv ops compiled (row: fallback)'),
    ],
)
def test_another_environment_is_compared_with_the_nearest_row(changes, row, told):
    found = verdict(here(**changes))
    assert found.startswith(f'untested: expected to work; nearest is the row {row!r}, but here is ')
    assert told in found


def test_what_is_older_than_every_row_is_a_problem():
    assert problems(here(torch='2.3.1', numpy='1.24.0')) == [
        'torch 2.3.1 is older than 2.4.1: pip install "torch>=2.4.1"',
        'numpy 1.24.0 is older than 1.26.4: pip install "numpy>=1.26.4"',
    ]
    assert problems(here(torch='2.10.0')) == []  # not the text '2.10' < '2.4'


def test_this_environment_is_described():
    found = environments.installed()
    assert found.torch.count('.') == 2 and '+' not in found.torch
    assert found.stack in {*STACKS, environments.OTHER_STACK}
    assert nearest(found) in ROWS
    assert differences(found, found) == []


def test_python_and_torch_are_promised_as_far_as_they_ran():
    pythons = {row.python for row in ROWS}
    assert set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)) == pythons
    oldest = min(pythons, key=environments.release)
    assert f'requires-python = ">={oldest}"' in PYPROJECT
    assert f'dependencies = ["torch>={OLDEST.torch}", "numpy>={OLDEST.numpy}"]' in PYPROJECT


def test_the_lower_bounds_of_extras_are_those_of_the_oldest_row():
    bounds = {requirement.replace('>=', '==') for requirement in re.findall(r'"([\w-]+>=[\d.]+)"', PYPROJECT)}
    ran = {f'torch=={OLDEST.torch}', f'numpy=={OLDEST.numpy}', *OLDEST.others}
    assert {bound for bound in bounds if not bound.startswith('setuptools==')} == ran  # needed to build alone


@pytest.mark.parametrize('name', STACKS)
def test_the_stacks_are_those_of_the_extras(name):
    pins = ', '.join(f'"{package}=={version}"' for package, version in STACKS[name].items())
    assert f'\n{name} = [{pins}]\n' in PYPROJECT


def test_the_workflow_runs_every_row():
    workflow = (ROOT / '.github/workflows/tests.yml').read_text()
    rows = re.findall(r"\{ row: ([\w-]+), python: '([\d.]+)' \}", workflow)
    assert rows == [(row.name, row.python) for row in ROWS]
    (pin,) = set(re.findall(r'nox==[\d.]+', workflow))
    assert f'"{pin}"' in PYPROJECT


def test_both_numpys_and_all_the_pythons_are_in_the_table_of_the_docs():
    table = (ROOT / 'docs/environments.md').read_text()
    for row in ROWS:
        cells = [row.name, row.python, row.torch, row.torchvision or 'none', row.numpy, row.stack]
        assert f'| {" | ".join(cells)} |' in table
