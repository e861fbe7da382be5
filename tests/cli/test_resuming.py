"""A run is resumed from the newest checkpoint that can be read, and equals an undisturbed one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdet_kpheads.cli import arguments, make_digits, resuming
from mmdet_kpheads.errors import InputError
from tests.compat.processes import ROOT


def write(path, iteration, seed=3, **more):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({'meta': {'iter': iteration, 'seed': seed}, 'optimizer': {}, **more}, path)


def config(**more):
    return Config({'work_dir': 'run', 'resume': True, **more})


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize('last', [None, '', 'run/epoch_1.pth', '/elsewhere/epoch_9.pth'])
def test_the_newest_is_found_whatever_last_checkpoint_says(last, capsys):
    for name, iteration in (('epoch_9', 9), ('epoch_10', 10), ('iter_5', 5)):
        write(f'run/{name}.pth', iteration)
    torch.save({'meta': {'iter': 11}}, 'run/best_score_epoch_11.pth')  # without optimizer
    if last is not None:
        Path('run/last_checkpoint').write_text(last)
    cfg = config()
    resuming.resume(cfg)
    assert cfg.load_from == 'run/epoch_10.pth' and cfg.resume and cfg.randomness.seed == 3
    assert capsys.readouterr().out == 'resume: run/epoch_10.pth\n'


@pytest.mark.parametrize('size', [0, 3, 400, -1])
def test_a_file_that_is_cut_off_is_passed_over(size, capsys):
    write('run/epoch_1.pth', 1)
    write('run/epoch_2.pth', 2)
    Path('run/epoch_2.pth').write_bytes(Path('run/epoch_2.pth').read_bytes()[:size])
    cfg = config()
    resuming.resume(cfg)
    assert cfg.load_from == 'run/epoch_1.pth'
    assert 'resume: passed over run/epoch_2.pth: it is cut off' in capsys.readouterr().out
    with pytest.raises(InputError, match=r"checkpoint 'run/epoch_2\.pth' cannot be read"):
        resuming.resume(config(load_from='run/epoch_2.pth'))
    Path('run/epoch_1.pth').unlink()
    with pytest.raises(InputError, match='no checkpoint in run can be read; move the files away'):
        resuming.resume(config())


def test_without_a_checkpoint_it_starts_at_the_beginning(capsys):
    cfg = config()
    resuming.resume(cfg)
    assert not cfg.resume and capsys.readouterr().out == 'resume: no checkpoint in run, so from the beginning\n'


def test_the_seed_of_the_config_stays_and_out_dir_is_searched():
    write('else/run/epoch_1.pth', 1)
    cfg = config(randomness={'seed': 5}, default_hooks={'checkpoint': {'out_dir': 'else'}})
    resuming.resume(cfg)
    assert cfg.load_from == 'else/run/epoch_1.pth' and cfg.randomness.seed == 5


def test_a_checkpoint_of_another_config_is_refused():
    model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    torch.save({'state_dict': model.state_dict()}, 'fits.pth')
    torch.save({'state_dict': {'0.weight': torch.zeros(1, 2)}}, 'lacks.pth')
    torch.save({'state_dict': {'0.weight': torch.zeros(2, 2)}}, 'shape.pth')
    arguments.require_fitting(model, 'fits.pth')
    with pytest.raises(InputError, match=r"lacks\.pth does not fit the config: 1 missing, \('0\.bias'\)"):
        arguments.require_fitting(model, 'lacks.pth')
    with pytest.raises(
        InputError, match=r'shape\.pth does not fit the config: .*0\.weight is \(2, 2\) and must be \(1, 2\)'
    ):
        arguments.require_fitting(model, 'shape.pth')


TRAIN = """
import os, signal, sys
from mmdet_kpheads import compat
from mmengine.runner import EpochBasedTrainLoop
import torch
compat.install()
torch.set_num_threads(1)
from mmdet_kpheads.cli import train
last, run_iter = int(sys.argv[1]), EpochBasedTrainLoop.run_iter
def killed(loop, *arguments):
    if loop.iter == last:
        os.kill(os.getpid(), signal.SIGKILL)
    run_iter(loop, *arguments)
EpochBasedTrainLoop.run_iter = killed
train.main(sys.argv[2:])
"""
OPTIONS = (
    'train_cfg.max_epochs=3',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=4',
    'randomness.seed=None',  # each run draws its own
    'default_hooks.checkpoint.max_keep_ckpts=1',
)
NEVER = -1


def train(last, head, work_dir, *words):
    command = [sys.executable, '-W', 'ignore', '-c', TRAIN, str(last), f'demo/{head}_digits.py', '--work-dir', work_dir]
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    seen = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert seen.returncode == (0 if last == NEVER else -signal.SIGKILL), seen.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('head', ['centernet', 'cornernet', 'autoassign'])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(head, workers):
    """Killed in the second epoch, twice in the third, and resumed each time; two steps per epoch."""
    pytest.importorskip('sklearn')
    make_digits.main(['data/digits', '--num-train', '8', '--num-val', '4', '--size', '64'])
    options = ['--cfg-options', *OPTIONS, f'train_dataloader.num_workers={workers}']
    train(3, head, 'killed', *options)
    for last in (4, 5, NEVER):
        train(last, head, 'killed', '--resume', *options)
    seed = torch.load('killed/epoch_3.pth', weights_only=True)['meta']['seed']
    train(NEVER, head, 'whole', *options, f'randomness.seed={seed}')
    ours, expected = (torch.load(f'{run}/epoch_3.pth', weights_only=True) for run in ('killed', 'whole'))
    for name, value in expected['state_dict'].items():
        assert torch.equal(ours['state_dict'][name], value), name
    assert str(ours['random_state']) == str(expected['random_state'])
