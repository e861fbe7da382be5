"""The doctor and the runner as a user calls them: in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import mmdet
import pytest
import torch

from mmdet_kpheads import doctor, run
from mmdet_kpheads.compat import mmcv_ext
from mmdet_kpheads.compat.mmcv_ext import StandIn

ROOT = Path(__file__).parents[2]
MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


def call(*arguments, path='', cwd=None):
    """Run Python; the package is found from any folder, ``path`` first."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(path), str(ROOT)]),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_doctor_on_a_usable_stack(capsys):
    assert doctor.main() == 0
    printed = capsys.readouterr().out
    assert f'torch        {torch.__version__}' in printed
    for name in ('python', 'torchvision', 'mmengine', 'mmcv', 'mmdet'):
        assert f'\n{name} ' in f'\n{printed}'
    assert 'mmdet_kpheads is usable.' in printed


def test_doctor_tells_where_ops_come_from(monkeypatch):
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: True)
    monkeypatch.setattr(doctor, 'torchvision_ops', lambda device: object())
    lines = '\n'.join(doctor.report()[0])
    assert 'softnms                 plain torch' in lines
    assert 'modulated_deform_conv   torchvision' in lines
    assert 'any other               missing' in lines
    monkeypatch.setattr(doctor.mmcv_ext, 'provide', lambda: False)
    assert 'compiled (mmcv._ext); nothing is replaced' in '\n'.join(doctor.report()[0])


def test_doctor_runs_without_mmdet_and_the_package_does_not(tmp_path):
    missing = 'raise ModuleNotFoundError("No module named \'mmdet\'", name="mmdet")'
    (tmp_path / 'mmdet.py').write_text(missing)
    seen = call('-m', 'mmdet_kpheads.doctor', path=tmp_path)
    assert seen.returncode == 1
    assert seen.stderr == ''
    assert 'PROBLEM mmdet is missing' in seen.stdout
    assert 'pip install "mmdet-kpheads[onedl]"' in seen.stdout
    package = call('-c', 'import mmdet_kpheads', path=tmp_path)
    assert package.returncode == 1
    assert 'ImportError: mmdet_kpheads cannot be used:\n- mmdet is missing' in package.stderr


def test_run_prepares_and_runs_a_script(tmp_path):
    (tmp_path / 'neighbor.py').write_text('NAME = "beside the script"')
    (tmp_path / 'script.py').write_text(
        'import sys\n'
        'from mmcv import ops\n'  # before any config is read, as mmdet's test.py
        'import neighbor\n'
        'if __name__ == "__main__":\n'
        '    print(sys.argv[1:], neighbor.NAME, sys.modules["mmcv._ext"].__name__)\n'
        '    sys.exit(3)\n'
    )
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    seen = call('-m', 'mmdet_kpheads.run', '../script.py', '--work-dir', 'x', cwd=folder)
    assert seen.stdout == "['--work-dir', 'x'] beside the script mmcv._ext\n", seen.stderr
    assert seen.returncode == 3


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_run_starts_the_scripts_of_mmdet(tool):
    seen = call('-m', 'mmdet_kpheads.run', str(MMDET_TOOLS / tool), '--help')
    assert seen.returncode == 0, seen.stderr
    assert '--work-dir' in seen.stdout


def test_run_under_torchrun(tmp_path):
    """Two processes meet and wrap a model through mmengine, which by itself cannot without a GPU."""
    (tmp_path / 'script.py').write_text(
        'import sys\n'
        'import torch\n'
        'from mmcv import ops\n'
        'from mmengine.dist import all_reduce, get_rank, init_dist\n'
        'from mmengine.runner import runner\n'
        'init_dist("pytorch")\n'
        'total = torch.tensor(get_rank() + 1.0)\n'
        'all_reduce(total)\n'
        'model = runner.MMDistributedDataParallel(module=torch.nn.Linear(1, 1), device_ids=[get_rank()])\n'
        'model(torch.ones(1)).backward()\n'
        'sys.stdout.write(f"{sys.argv[1:]} {total.item()};")\n'  # one write: two processes share the pipe
    )
    launch = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    seen = call(*launch, '-m', 'mmdet_kpheads.run', str(tmp_path / 'script.py'), 'config.py')
    assert seen.stdout.count("['config.py'] 3.0;") == 2, seen.stderr


def test_spawned_workers_are_prepared_and_know_the_script(tmp_path):
    """mmengine's launcher sets the start method to spawn: workers then import the script anew."""
    (tmp_path / 'script.py').write_text(
        'import multiprocessing as mp\n'
        'from mmcv import ops\n'
        'class Data:\n'
        '    pass\n'
        'def work(data):\n'
        '    return type(data).__name__, ops.nms.__name__, __name__\n'
        'if __name__ == "__main__":\n'
        '    with mp.get_context("spawn").Pool(1) as pool:\n'
        '        print(pool.map(work, [Data()]))\n'
    )
    seen = call('-m', 'mmdet_kpheads.run', str(tmp_path / 'script.py'))
    assert seen.stdout == "[('Data', 'nms', '__mp_main__')]\n", seen.stderr


@pytest.mark.parametrize('arguments', [[], ['-h']])
def test_run_without_a_script_says_how(arguments):
    with pytest.raises(SystemExit, match=r'usage: python -m mmdet_kpheads\.run'):
        run.main(arguments)


def test_run_names_a_missing_script():
    with pytest.raises(SystemExit, match=r"there is no script 'tools/trian.py'"):
        run.main(['tools/trian.py', 'config.py'])


def test_stand_in_is_not_used_where_ops_are_compiled():
    code = 'import mmdet_kpheads, sys; print(type(sys.modules["mmcv._ext"]).__name__)'
    used = call('-c', code).stdout.strip()
    assert (used == StandIn.__name__) == isinstance(sys.modules[mmcv_ext.NAME], StandIn)
