"""A run is resumed from the newest checkpoint that can be read, and equals an undisturbed one."""

import json
import os
import random
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
import json, os, random, signal, sys, threading
from mmdet_kpheads import compat
from mmengine.runner import EpochBasedTrainLoop
import torch
compat.install()
torch.set_num_threads(1)
from mmdet_kpheads.cli import train
run_iter = EpochBasedTrainLoop.run_iter
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def run(words, steps, delay):
    started = iter(range(steps))
    def killed(loop, *arguments):
        if next(started, None) == steps - 1:
            threading.Timer(delay, kill).start()
        run_iter(loop, *arguments)
    EpochBasedTrainLoop.run_iter = killed
    train.main(words)
for words, steps, delay in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        run(words, steps, delay)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (-signal.SIGKILL if steps else 0), (status, steps, delay)
"""
# The slow test kills a run 3 times. docs/long_runs.md has the table of KILLS=20.
KILLS = int(os.environ.get('KILLS', 3))
EPOCHS = 3 * KILLS  # of two steps: more than all killed runs get through
UNTIL_THE_END = (0, 0.0)
OPTIONS = (
    f'train_cfg.max_epochs={EPOCHS}',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=4',
    'randomness.seed=None',  # each run draws its own
    'default_hooks.checkpoint.max_keep_ckpts=1',
)


def train(runs):
    """Train once per entry ``(arguments, steps, delay)``, killed that many seconds after the start of its last step.

    Each run is a process of its own, forked before torch has computed anything: imports would take most of the time.
    """
    environment = os.environ | {'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}
    command = [sys.executable, '-W', 'ignore', '-c', TRAIN, json.dumps(runs)]
    seen = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert seen.returncode == 0, seen.stderr[-3000:]
    return seen.stdout


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('head', ['centernet', 'cornernet', 'autoassign'])
def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(head, workers):
    """Killed at random moments of training, validation and saving, and resumed each time."""
    pytest.importorskip('sklearn')
    make_digits.main(['data/digits', '--num-train', '8', '--num-val', '4', '--size', '64'])
    draw = random.Random(f'{head} {workers}')
    moments = [(draw.randint(1, 5), draw.uniform(0, 0.1)) for _ in range(KILLS)]
    killed = [f'demo/{head}_digits.py', '--work-dir', 'killed', '--resume']
    options = ['--cfg-options', *OPTIONS, f'train_dataloader.num_workers={workers}']
    seen = train([([*killed, *options], *moment) for moment in [*moments, UNTIL_THE_END]])
    resumes = seen.count('resume: killed/epoch_')
    print(f'{head}, {workers} workers: {KILLS} kills, {resumes} resumes from a checkpoint')
    assert resumes > KILLS / 2
    last = f'epoch_{EPOCHS}.pth'
    seed = torch.load(f'killed/{last}', weights_only=True)['meta']['seed']
    train([([killed[0], '--work-dir', 'whole', *options, f'randomness.seed={seed}'], *UNTIL_THE_END)])
    ours, expected = (torch.load(f'{run}/{last}', weights_only=True) for run in ('killed', 'whole'))
    for name, value in expected['state_dict'].items():
        assert torch.equal(ours['state_dict'][name], value), name
    assert str(ours['random_state']) == str(expected['random_state'])
