"""The doctor reports what is installed, also with a broken stack."""

import torch

from mmdet_kpheads.cli import doctor
from tests.compat.processes import broken_stack, call


def test_usable_stack(capsys):
    assert doctor.main([]) == 0
    printed = capsys.readouterr().out
    assert f'torch        {torch.__version__}' in printed
    for name in ('python', 'torchvision', 'mmengine', 'mmcv', 'mmdet'):
        assert f'\n{name} ' in f'\n{printed}'
    assert 'mmdet_kpheads is usable.' in printed


def test_source_of_each_op(monkeypatch):
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: True)
    monkeypatch.setattr(doctor, 'torchvision_ops', lambda device: object())
    lines = '\n'.join(doctor.report()[0])
    assert 'softnms                 plain torch' in lines
    assert 'modulated_deform_conv   torchvision' in lines
    assert 'any other               missing' in lines
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: False)
    assert 'compiled (mmcv._ext); nothing is replaced' in '\n'.join(doctor.report()[0])


def test_missing_mmdet(tmp_path):
    seen = call('-m', 'mmdet_kpheads', 'doctor', path=broken_stack(tmp_path))
    assert seen.returncode == 1
    assert seen.stderr == ''
    assert 'PROBLEM mmdet is missing' in seen.stdout
    assert 'pip install "mmdet-kpheads[onedl]"' in seen.stdout


def test_it_does_not_depend_on_how_python_was_started(tmp_path):
    """Called as the console script calls it, and as another program may."""
    code = 'import sys; from mmdet_kpheads.cli.subcommands import main; sys.exit(main(["doctor"]))'
    seen = call('-c', code, 'other', 'arguments', path=broken_stack(tmp_path))
    assert seen.returncode == 1
    assert seen.stderr == ''
    assert 'PROBLEM mmdet is missing' in seen.stdout
