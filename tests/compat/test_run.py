"""``python -m mmdet_kpheads.run`` as a user calls it: in a process of its own."""

import sys
from pathlib import Path

import mmdet
import pytest

from mmdet_kpheads import run
from mmdet_kpheads.compat import mmcv_ext
from mmdet_kpheads.compat.mmcv_ext import FallbackOps
from tests.compat.processes import broken_stack, call

MMDET_TOOLS = Path(mmdet.__file__).parent / '.mim' / 'tools'


def test_run_installs_and_runs_a_script(tmp_path):
    (tmp_path / 'neighbor.py').write_text('NAME = "beside the script"')
    (tmp_path / 'script.py').write_text(
        'import sys\n'
        'from mmcv import ops\n'  # before any config is read, as mmdet's test.py
        'from mmengine.config import Config\n'
        'import neighbor\n'
        'if __name__ == "__main__":\n'
        '    print(sys.argv[1:], neighbor.NAME, sys.modules["mmcv._ext"].__name__, Config._get_cfg_path.__module__)\n'
        '    sys.exit(3)\n'
    )
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    seen = call('-m', 'mmdet_kpheads.run', '../script.py', '--work-dir', 'x', cwd=folder)
    installed = 'mmdet_kpheads.compat.config_bases'
    assert seen.stdout == f"['--work-dir', 'x'] beside the script mmcv._ext {installed}\n", seen.stderr
    assert seen.returncode == 3


@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_run_starts_the_scripts_of_mmdet(tool):
    seen = call('-m', 'mmdet_kpheads.run', str(MMDET_TOOLS / tool), '--help')
    assert seen.returncode == 0, seen.stderr
    assert '--work-dir' in seen.stdout


def test_run_under_torchrun(tmp_path):
    """Two processes meet and wrap a model through mmengine, which fails without a GPU by default."""
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


def test_spawned_workers_import_the_package_and_know_the_script(tmp_path):
    """mmengine's launcher sets the start method to spawn: workers import the script again."""
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
def test_run_without_a_script_prints_its_usage(arguments):
    with pytest.raises(SystemExit, match=r'usage: python -m mmdet_kpheads\.run'):
        run.main(arguments)


def test_run_names_a_missing_script():
    with pytest.raises(SystemExit, match=r"there is no script 'tools/trian.py'"):
        run.main(['tools/trian.py', 'config.py'])


def test_the_fallback_is_not_used_if_ops_are_compiled():
    code = 'import mmdet_kpheads, sys; print(type(sys.modules["mmcv._ext"]).__name__)'
    used = call('-c', code).stdout.strip()
    assert (used == FallbackOps.__name__) == isinstance(sys.modules[mmcv_ext.NAME], FallbackOps)


def test_run_with_a_broken_stack_explains_it(tmp_path):
    (tmp_path / 'script.py').write_text('print("never")\n')
    seen = call('-m', 'mmdet_kpheads.run', tmp_path / 'script.py', path=broken_stack(tmp_path))
    assert seen.returncode == 1
    assert seen.stdout == ''
    assert seen.stderr.startswith('error: mmdet_kpheads cannot be used:\n- mmdet is missing')
    assert 'Traceback' not in seen.stderr
