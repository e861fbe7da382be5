"""What of other packages is shown, and what is in the log file only."""

import logging
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import mmdet
import pytest
import torch
from mmengine.hooks import checkpoint_hook, logger_hook
from mmengine.logging import MMLogger, print_log
from mmengine.runner import runner

from mmdet_kpheads.cli import resuming
from mmdet_kpheads.errors import KpheadsWarning
from mmdet_kpheads.hooks import loading_report_hook
from mmdet_kpheads_cli import quiet

MISMATCH = 'The model and loaded state dict do not match exactly\n\n'


def say(module, function, text, level=logging.INFO, by='log'):
    """Log or print as a function of a module does."""
    call = f'logger.log(level, {text!r})' if by == 'log' else f'print_log({text!r}, level=level)'
    scope = {'__name__': module.__name__, 'level': level, 'print_log': print_log}
    exec(compile(f'def {function}(logger):\n    {call}\n', module.__file__, 'exec'), scope)
    scope[function](MMLogger.get_current_instance())


@contextmanager
def log_file(folder):
    """Quiet, with a log file. Not a fixture: a logger keeps the stream, and pytest has another one in a test."""
    with quiet.quiet() as terminal, quiet.quiet_run(terminal):
        path = folder / 'run.log'
        MMLogger.get_instance(str(folder), log_file=str(path))
        yield path


@pytest.mark.parametrize(
    ('module', 'function', 'text', 'level', 'shown'),
    [
        (logger_hook, 'after_train_iter', 'Epoch(train) [1][1/4]', logging.INFO, True),
        (logger_hook, 'after_train_iter', 'Exp name: x', logging.INFO, False),
        (checkpoint_hook, '_save_best_checkpoint', 'The best checkpoint with 0.5 AP', logging.INFO, True),
        (checkpoint_hook, '_save_best_checkpoint', 'The previous best checkpoint a is removed', logging.INFO, False),
        (checkpoint_hook, 'after_train_epoch', 'Saving checkpoint at 1 epochs', logging.INFO, False),
        (logger_hook, 'after_val_iter', 'Epoch(val) [1][1/4]', logging.INFO, False),
        (runner, '_log_env', 'Config:\nmodel = dict()', logging.INFO, False),
        (runner, '__init__', 'Hooks will be executed', logging.INFO, False),
        (runner, 'train', 'a problem', logging.WARNING, True),
        (runner, 'train', '"FileClient" will be deprecated in future.', logging.WARNING, False),
        (runner, 'train', f'{MISMATCH}unexpected key in source state_dict: fc.weight\n', logging.WARNING, False),
        (runner, 'train', f'{MISMATCH}unexpected key in source state_dict: a\n\nmissing keys b', logging.WARNING, True),
        (runner, 'train', '"FileClient" will be deprecated in future.', logging.ERROR, True),
        (loading_report_hook, 'after_load_checkpoint', '3 of 4 weights are loaded', logging.INFO, True),
        (sys.modules[__name__], 'hook', 'what a user logs', logging.INFO, True),
    ],
)
def test_records(module, function, text, level, shown, tmp_path, capsys):
    with log_file(tmp_path) as path:
        say(module, function, text, level)
    assert (text in capsys.readouterr().out) == shown
    assert text in path.read_text()


def test_ordinary_lines_have_no_name_of_a_logger(tmp_path, capsys):
    with log_file(tmp_path):
        say(logger_hook, 'after_train_iter', 'Epoch(train)')
        say(runner, 'train', 'a problem', logging.WARNING)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith('  Epoch(train)') and 'mmengine' not in first
    assert 'WARNING' in second


@pytest.mark.parametrize(
    ('module', 'text', 'level', 'shown', 'logged'),
    [
        (runner, 'Loads checkpoint by local backend', logging.INFO, False, True),
        (runner, 'Could not import OneDL', logging.DEBUG, False, False),
        (runner, f'{MISMATCH}missing keys in source state_dict: a', logging.WARNING, True, False),
        (sys.modules[__name__], 'of the user', logging.INFO, True, False),
    ],
)
def test_what_mmengine_prints_for_want_of_a_logger(module, text, level, shown, logged, tmp_path, capsys):
    with log_file(tmp_path) as path:
        say(module, 'function', text, level, by='print')
    assert (text in capsys.readouterr().out) == shown
    assert (text in path.read_text()) == logged


def warn(category, filename, text='a warning'):
    warnings.warn_explicit(text, category, str(filename), 1)


@pytest.mark.parametrize(
    ('category', 'filename', 'shown'),
    [
        (UserWarning, Path(mmdet.__file__).parent / 'x.py', False),
        (UserWarning, Path(torch.__file__).parent / 'nn/x.py', False),
        (UserWarning, Path(torch.__file__).parent / 'cuda/x.py', True),
        (UserWarning, Path(torch.__file__).parent / 'utils/data/x.py', True),
        (FutureWarning, Path(torch.__file__).parent / 'cuda/x.py', False),
        (UserWarning, Path(quiet.__file__), True),
        (UserWarning, Path(loading_report_hook.__file__), True),
        (UserWarning, 'my_hook.py', True),
        (KpheadsWarning, Path(mmdet.__file__).parent / 'x.py', True),
    ],
)
def test_warnings(category, filename, shown, tmp_path, capsys):
    with log_file(tmp_path) as path:
        warnings.simplefilter('always')
        warn(category, filename)
    assert ('a warning' in capsys.readouterr().err) == shown
    assert ('a warning' in path.read_text()) != shown


def test_what_comes_before_there_is_a_log_file_is_kept_for_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(MMLogger, '_instance_dict', {})  # without those of other tests, which have files
    with quiet.quiet() as terminal:
        say(runner, 'function', 'printed during an import', by='print')
        with quiet.quiet_run(terminal):
            MMLogger.get_instance(f'{tmp_path} without a file')
            MMLogger.get_instance(f'{tmp_path} with one', log_file=str(tmp_path / 'run.log'))
    assert 'printed during an import' in (tmp_path / 'run.log').read_text()
    assert capsys.readouterr().out == ''


def test_other_processes_of_a_run_are_silent_but_for_errors(tmp_path, capsys):
    with quiet.quiet(is_main=False) as terminal, quiet.quiet_run(terminal):
        vars(resuming)['print']('resume: x')
        warn(UserWarning, 'my_hook.py')
        say(sys.modules[__name__], 'function', 'of the user', by='print')
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_all_is_as_before_afterwards(capsys):
    formatter = MMLogger.get_current_instance().handlers[0].formatter
    before = MMLogger.__init__, warnings.showwarning, formatter
    with quiet.quiet() as terminal, quiet.quiet_run(terminal):
        assert MMLogger.__init__ is not before[0]
    logger = MMLogger.get_current_instance()
    assert (MMLogger.__init__, warnings.showwarning, logger.handlers[0].formatter) == before
    assert 'print' not in vars(sys.modules['mmengine.logging.logger'])
    assert quiet.is_shown not in logger.handlers[0].filters


@pytest.mark.slow
@pytest.mark.parametrize('command', ['train', 'test', 'report', 'show_assignment'])
def test_what_reads_datasets_is_imported_before_the_run(command):
    """What is imported in it would print that it loads the annotations."""
    script = f'import mmdet_kpheads.cli.{command}, sys; sys.exit("pycocotools.coco" not in sys.modules)'
    subprocess.run([sys.executable, '-c', script], cwd=Path(quiet.__file__).parents[1], check=True)
