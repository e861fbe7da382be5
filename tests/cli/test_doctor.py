"""The doctor reports what is installed, also with a broken stack."""

import torch

import mmdet_kpheads
from mmdet_kpheads.cli import doctor
from mmdet_kpheads.compat import environments
from tests.compat.processes import broken_stack, call


def test_usable_stack(capsys):
    assert doctor.main([]) == 0
    printed = capsys.readouterr().out
    assert f'torch        {torch.__version__}' in printed
    for name in ('python', 'torchvision', 'mmengine', 'mmcv', 'mmdet'):
        assert f'\n{name} ' in f'\n{printed}'
    assert 'mmdet_kpheads is usable.' in printed


def test_it_ends_with_a_block_for_a_bug_report(monkeypatch):
    row = environments.ROWS[0]
    monkeypatch.setattr(environments, 'installed', lambda: row)
    lines, usable = doctor.report()
    assert usable
    *_, heading, _, begin, package, python, torch_line, _, _, _, _, _, environment, end = lines
    assert (heading, begin, end) == ('For a bug report:', '```', '```')
    assert package == f'mmdet_kpheads {mmdet_kpheads.__version__}'
    assert python.startswith('python ') and torch_line.startswith('torch ')
    assert environment == "environment  tested: it is the row 'oldest' of the matrix, which runs on a CPU"


def test_what_is_older_than_any_row_is_a_problem():
    """As with torch 2.1, which has no add_safe_globals: neither the import nor the doctor ends in a traceback."""
    code = """
import sys, torch
from importlib import metadata
del torch.serialization.add_safe_globals
version = metadata.version
metadata.version = lambda name: '2.1.2+cpu' if name == 'torch' else version(name)
from mmdet_kpheads_cli.subcommands import main
sys.exit(main(['doctor']))
"""
    seen = call('-c', code)
    assert seen.returncode == 1
    assert seen.stderr == ''
    lines = seen.stdout.splitlines()
    assert 'PROBLEM torch 2.1.2 is older than 2.4.1: pip install "torch>=2.4.1"' in lines
    assert 'environment  unusable: see PROBLEM' in lines
    assert 'onedl-mmdetection' not in seen.stdout.split('For a bug report')[0]  # the cure of the stack is another


def test_source_of_each_op(monkeypatch):
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: True)
    monkeypatch.setattr(doctor, 'torchvision_op', lambda op, device: op == 'deform_conv2d')
    lines = '\n'.join(doctor.report()[0])
    assert '\n  softnms                 plain torch\n' in lines
    assert '\n  modulated_deform_conv   torchvision\n' in lines
    assert '\n  roi_align               plain torch\n' in lines
    assert 'any other               missing' in lines
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: False)
    assert 'compiled (mmcv._ext); nothing is replaced' in '\n'.join(doctor.report()[0])


def test_missing_mmdet(tmp_path):
    seen = call('-m', 'mmdet_kpheads', 'doctor', path=broken_stack(tmp_path))
    assert seen.returncode == 1
    assert seen.stderr == ''
    assert 'PROBLEM mmdet is missing' in seen.stdout
    assert 'pip install onedl-mmengine==' in seen.stdout


def test_it_does_not_depend_on_how_python_was_started(tmp_path):
    """Called as the console script calls it, and as another program may."""
    code = 'import sys; from mmdet_kpheads_cli.subcommands import main; sys.exit(main(["doctor"]))'
    seen = call('-c', code, 'other', 'arguments', path=broken_stack(tmp_path))
    assert seen.returncode == 1
    assert seen.stderr == ''
    assert 'PROBLEM mmdet is missing' in seen.stdout
