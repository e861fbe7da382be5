"""What ends a run early is one line with the last good checkpoint, and an exit code."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdet_kpheads.cli import config_checks, failures
from mmdet_kpheads.errors import InputError, RunStoppedError
from mmdet_kpheads_cli import subcommands


@pytest.fixture
def cfg(tmp_path):
    return Config({'work_dir': str(tmp_path / 'run')})


def kill(number):
    os.kill(os.getpid(), number)


def fail(error):
    raise error


@pytest.mark.parametrize(
    ('stop', 'reason', 'code'),
    [
        (lambda: kill(signal.SIGINT), 'stopped by Ctrl-C', 130),
        (lambda: kill(signal.SIGTERM), 'stopped by SIGTERM', 143),
        (lambda: fail(OSError(28, 'No space left', 'a.pth')), r"OSError: \[Errno 28\] No space left: 'a\.pth'", 3),
        (lambda: fail(FileNotFoundError('Caught in worker\nTraceback\nno a.jpg')), 'FileNotFoundError: no a.jpg', 3),
        (
            lambda: fail(RuntimeError('DataLoader worker (pid 1) is killed\nx')),
            r'a worker was killed, .* \(DataLoader .*\)',
            3,
        ),
        (
            lambda: fail(RuntimeError('x.cc:78] Timed out waiting 15ms')),
            r"another process did not answer within torch's default, .* env_cfg\.dist_cfg\.timeout: .* \(.*\)",
            3,
        ),
        (
            lambda: fail(RuntimeError('Read error: Connection reset by peer.')),
            r'another process ended; .* \(Read.*\)',
            3,
        ),
        (lambda: fail(RunStoppedError('loss not finite')), 'loss not finite', 3),
    ],
    ids=['Ctrl-C', 'SIGTERM', 'full disk', 'image', 'worker', 'silent rank', 'dead rank', 'loss'],
)
def test_the_cause_and_the_last_checkpoint_are_named(cfg, stop, reason, code):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with (
        pytest.raises(RunStoppedError, match=f'^{reason}; no checkpoint was saved$') as stopped,
        failures.ending_well(cfg),
    ):
        stop()
    assert stopped.value.exit_code == code
    os.mkdir(cfg.work_dir)
    torch.save({'meta': {'iter': 1}, 'optimizer': {}}, f'{cfg.work_dir}/epoch_1.pth')
    named = r'last good checkpoint: .*run/epoch_1\.pth; go on with --resume$'
    with pytest.raises(RunStoppedError, match=named), failures.ending_well(cfg):
        stop()
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_the_timeout_is_named_and_is_no_error_of_the_config(cfg):
    """Also in the first step, where a RuntimeError is otherwise taken for an error of the config."""
    cfg.env_cfg = dict(dist_cfg=dict(timeout=20))
    with (
        pytest.raises(RunStoppedError, match='did not answer within 20 s, the limit'),
        failures.ending_well(cfg),
        failures.config_errors(cfg),
    ):
        raise RuntimeError('Timed out waiting 20000ms for recv')


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_sigterm_kills_a_worker_and_ctrl_c_does_not(cfg, number, code):
    """mmdet's VOC metric ends its pool so; a handler in Python would not run in a worker that waits for a lock."""

    def work():
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN)
        kill(number)

    with failures.ending_well(cfg):
        worker = multiprocessing.get_context('fork').Process(target=work)
        worker.start()
        worker.join(20)
    assert worker.exitcode == code


def test_a_bug_keeps_its_traceback(cfg):
    with pytest.raises(RuntimeError, match=r'^a bug$'), failures.ending_well(cfg):
        raise RuntimeError('a bug')
    with pytest.raises(KeyError, match='a bug'), failures.config_errors(cfg, started=lambda: True):
        raise KeyError('a bug')


def test_an_error_before_the_first_step_is_one_line_and_its_traceback_a_file(cfg):
    message = r"^the config does not work: KeyError: no 'x' in y \(traceback: .*run/traceback\.txt\)$"
    with pytest.raises(InputError, match=message), failures.config_errors(cfg):
        raise KeyError("no 'x' in y\nmore")
    assert 'Traceback' in (Path(cfg.work_dir) / failures.TRACEBACK_FILE).read_text()
    with pytest.raises(InputError, match=r'^said already$'), failures.config_errors(cfg):
        raise InputError('said already')


@pytest.mark.parametrize(
    ('error', 'code', 'line'),
    [
        (RunStoppedError('loss not finite'), 3, 'loss not finite'),
        (RunStoppedError('stopped', 143), 143, 'stopped'),
        (KeyboardInterrupt(), 130, 'stopped by Ctrl-C'),
    ],
)
def test_the_command_prints_one_line_and_returns_the_code(error, code, line, monkeypatch, capsys):
    monkeypatch.setattr('mmdet_kpheads.cli.train.main', lambda argv: fail(error))
    assert subcommands.run('train', []) == code
    assert capsys.readouterr().err == f'error: {line}\n'


def test_misspelled_and_missing_keys_are_named():
    with pytest.raises(InputError, match="key 'optim_wraper', which nothing reads; did you mean 'optim_wrapper'"):
        config_checks.require_spelling(Config({'optim_wraper': {}}))
    config_checks.require_spelling(Config({'val_evaluator_voc': {}, 'train_pipeline': [], 'model': {}}))
    with pytest.raises(InputError, match='config has no model, no train_cfg; is it meant to be a base'):
        config_checks.require_keys(
            Config({'train_dataloader': {'batch_size': 1}}), 'model', 'train_dataloader', 'train_cfg'
        )
