"""What ``import mmdet_kpheads`` changes, and what only ``compat.install()`` changes. In processes of their own."""

import pytest

from tests.compat.processes import broken_stack, call

SNAPSHOT = """
import sys
from mmengine.config import Config
from mmengine.dist import utils
from mmengine.runner import checkpoint, runner

def snapshot():
    return {
        'safe loader': getattr(checkpoint, '_safe_torch_load', None),
        'load_url': checkpoint.load_url,
        'local loader': checkpoint.CheckpointLoader._schemes[''],
        'config bases': Config._get_cfg_path,
        'init': utils._init_dist_pytorch,
        'wrapper': runner.MMDistributedDataParallel,
    }

def changed(before, after):
    return [name for name in before if before[name] is not after[name]]

before = snapshot()
schemes = dict(checkpoint.CheckpointLoader._schemes)
compiler = 'torch._dynamo' in sys.modules
import mmdet_kpheads
assert ('torch._dynamo' in sys.modules) == compiler, 'the compiler was imported'
print(changed(before, snapshot()), checkpoint.CheckpointLoader._schemes == schemes, 'mmcv._ext' in sys.modules)
from mmdet_kpheads.compat import lazy_imports
from mmdet.models.task_modules.assigners import hungarian_assigner
loaded = [name for name in lazy_imports.PACKAGES if name in sys.modules]
print(loaded, hungarian_assigner.linear_sum_assignment([[5, 1]]))
from mmdet_kpheads import compat
compat.install()
installed = snapshot()
print(changed(before, installed))
compat.install()
print(changed(installed, snapshot()))
"""
RESUME = """
import sys, torch
import mmdet_kpheads
from mmengine.evaluator import Evaluator
from mmengine.runner import checkpoint
from tests.compat.runners import SCHEDULES, Score, runner

Evaluator.process, Evaluator.evaluate = Score.process, Score.evaluate
assert checkpoint.CheckpointLoader._schemes[''].__module__ == 'mmengine.runner.checkpoint'
plain_load = torch.load

def load(*args, **options):
    assert options.get('weights_only') is not False, 'the pickle of the checkpoint was run'
    return plain_load(*args, **options)

torch.load = load
for number, schedule in enumerate(SCHEDULES):
    folder = f'{sys.argv[1]}/{number}'
    runner(folder, schedule, epochs=1).train()
    again = runner(f'{folder}/more', schedule, epochs=2, load_from=f'{folder}/epoch_1.pth', resume=True)
    again.train()
    losses = again.message_hub.get_scalar('train/loss').data[0]
    saved = plain_load(f'{folder}/more/epoch_2.pth', weights_only=True)  # also after mmengine's loader has run
    print(again.epoch, len(losses), type(saved['message_hub']['log_scalars']['train/loss']).__name__)
"""


def test_import_leaves_mmengine_as_it_is_and_install_does_not():
    seen = call('-c', SNAPSHOT)
    imported, deferred, installed, again = seen.stdout.splitlines()[-4:]
    assert imported == '[] True True', seen.stderr
    assert deferred == '[] (array([0]), array([1]))'
    assert installed == "['safe loader', 'load_url', 'local loader', 'config bases', 'init', 'wrapper']"
    assert again == '[]'


def test_mmengines_own_loader_resumes_after_a_mere_import(tmp_path):
    seen = call('-c', RESUME, tmp_path)
    resumed = [line for line in seen.stdout.splitlines() if line.endswith('HistoryBuffer')]
    assert resumed == ['2 4 HistoryBuffer'] * 8, seen.stdout[-2000:] + seen.stderr[-3000:]


USE = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    import mmdet_kpheads
    import mmdet_kpheads as again
    from mmdet_kpheads import cli, compat
told = [str(warning.message) for warning in caught if 'mmdet_kpheads' in str(warning.message)]
print(len(told), mmdet_kpheads.__version__)
print(told[0])
silent = []
for name in mmdet_kpheads.__all__:
    try:
        getattr(mmdet_kpheads, name)
    except ImportError as error:
        assert str(error) == told[0]
    else:
        silent.append(name)
print(silent)
try:
    from mmdet_kpheads import CenterNetHead
except ImportError as error:
    assert str(error) == told[0]
    print('refused')
try:
    mmdet_kpheads.no_such_name
except AttributeError as error:
    print(error)
"""


def test_import_with_a_broken_stack_warns_once_and_every_name_explains(tmp_path):
    seen = call('-c', USE, path=broken_stack(tmp_path))
    assert seen.returncode == 0, seen.stderr
    first, *told, silent, refused, unknown = seen.stdout.splitlines()
    assert first.startswith('1 ')
    assert told[:2] == ['mmdet_kpheads cannot be used:', '- mmdet is missing']
    assert any('pip install onedl-mmengine==' in line for line in told)
    assert told[-1] == '`mmdet-kpheads doctor` shows what is installed.'
    assert silent == "['__version__']"
    assert refused == 'refused'
    assert unknown == "module 'mmdet_kpheads' has no attribute 'no_such_name'"


def test_the_warning_is_shown_by_default(tmp_path):
    seen = call('-c', 'import mmdet_kpheads', path=broken_stack(tmp_path), warnings='default')
    assert seen.returncode == 0
    assert seen.stderr.count('- mmdet is missing') == 1
    assert seen.stderr.startswith('<string>:1: KpheadsWarning: mmdet_kpheads cannot be used:')


@pytest.mark.parametrize('error', ['ImportError("libGL.so.1: cannot open")', 'RuntimeError("built for another torch")'])
def test_mmdet_that_fails_later_is_a_problem_too(tmp_path, error):
    """``import mmdet`` works, ``import mmdet.models`` does not: a dependency is missing or of another version."""
    (tmp_path / 'mmdet').mkdir()
    (tmp_path / 'mmdet/__init__.py').write_text('__version__ = "3.3.0"\n')
    (tmp_path / 'mmdet/models.py').write_text(f'raise {error}\n')
    seen = call('-m', 'mmdet_kpheads', 'doctor', path=tmp_path)
    assert seen.returncode == 1, seen.stderr
    assert 'PROBLEM mmdet.models does not import: ' in seen.stdout
    assert error.split('"')[1] in seen.stdout
