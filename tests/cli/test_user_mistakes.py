"""No mistake of a user ends in a traceback, or trains in silence; the docs list all messages."""

import gc
import logging
import os
import pickle
import re
import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdet_kpheads.cli import make_digits, train
from mmdet_kpheads_cli import subcommands
from tests.cli.user_mistakes import MISTAKES, Mistake, essence, table
from tests.tables import require_table
from tests.training import fcos_arguments_warn

pytest.importorskip('sklearn')

MARKER = 'executed'


class Code:
    """A pickle that makes a file when it is loaded."""

    def __reduce__(self):
        return os.system, (f'touch {MARKER}',)


def write_configs():
    for head in ('autoassign', 'centernet'):
        Path(f'{head}.py').write_text(
            f"_base_ = 'mmdet_kpheads::demo/{head}_digits.py'\ntrain_cfg = dict(max_epochs=1)\n"
            'train_dataloader = dict(batch_size=4)\n'
        )


def write_checkpoints():
    """Good ones of two configs, and all kinds of others."""
    train.main(['centernet.py', '--work-dir', 'run'])
    shutil.copy('run/epoch_1.pth', 'good.pth')
    cfg = Config.fromfile('autoassign.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        state = MODELS.build(cfg.model).state_dict()
    meta = {'dataset_meta': {'classes': cfg.classes}}
    torch.save({'state_dict': state, 'meta': meta}, 'autoassign.pth')
    good = torch.load('good.pth', weights_only=True)
    good['state_dict']['neck.more'] = torch.zeros(1)
    contents = {
        'more.pth': good,
        'code.pth': {'state_dict': {}, 'meta': Code()},
        'object.pth': {'state_dict': {}, 'meta': np.zeros(1, [('a', 'f4'), ('b', 'O')])},
        'list.pth': [1],
        'noweights.pth': {'epoch': 1},
        'other.pth': {'layer.weight': torch.zeros(1)},
        'module.pth': torch.nn.Linear(1, 1),
    }
    for name, content in contents.items():
        torch.save(content, name)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), 'script.pth')
    Path('cut.pth').write_bytes(Path('good.pth').read_bytes()[:-5000])
    Path('raw.pth').write_bytes(pickle.dumps({'state_dict': {'a': 1}}))
    Path('code.pkl').write_bytes(pickle.dumps({'state_dict': Code()}))
    Path('onnx.pth').write_bytes(b'\x08\x08\x12\x07pytorch' + bytes(100))
    Path('page.pth').write_text('<!DOCTYPE html><html>Not found</html>')
    with zipfile.ZipFile('zip.pth', 'w') as archive:
        archive.writestr('a.txt', 'hello')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, configs, checkpoints and other files that the commands of the table name."""
    path = tmp_path_factory.mktemp('mistakes')
    before = os.getcwd()
    os.chdir(path)
    make_digits.main(['data/digits', '--num-train', '8', '--num-val', '4', '--size', '64'])
    write_configs()
    write_checkpoints()
    Path('empty.pth').touch()
    Path('empty').mkdir()
    for name in ('file', 'text.pth', 'text.jpg', 'text.mp4'):
        Path(name).write_text('neither weights nor pixels\n')
    shutil.copy(next(Path('data/digits/VOC2007/JPEGImages').glob('val_*')), 'photo.jpg')
    yield path
    os.chdir(before)


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    # half of the time of a command that builds a runner
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, False))
    monkeypatch.setattr(gc, 'collect', lambda: 0)
    monkeypatch.setattr(logging, 'raiseExceptions', False)  # mmengine's loggers keep the streams of the first command
    monkeypatch.setattr(train, 'get_device', lambda: 'cpu')
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'RANK', 'SLURM_PROCID', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '')  # so that the end of the test restores what a command sets
        monkeypatch.delenv(name)


def run(command):
    try:
        return subcommands.main(command.split())
    except SystemExit as stopped:  # of argparse
        return stopped.code


def pattern(message: str) -> str:
    return '.*'.join(re.escape(part) for part in message.split('...'))


@fcos_arguments_warn
@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda mistake: f'{mistake.command} {mistake.config[-60:]}')
def test_a_mistake_is_one_line(mistake: Mistake, monkeypatch, capsys):
    if mistake.config:
        Path('own.py').write_text(mistake.config)
    if mistake.without:
        monkeypatch.setitem(sys.modules, mistake.without, None)
    if mistake.read_only:
        monkeypatch.setattr(os, 'access', lambda *_: False)
    assert run(mistake.command) == mistake.code
    printed = capsys.readouterr()
    assert 'Traceback' not in printed.err
    if mistake.code == 2:
        assert re.fullmatch(f'error: {pattern(mistake.message)}', printed.err.splitlines()[-1])
    else:  # the command goes on; a log line has the time first
        assert re.search(f'{pattern(mistake.message)}$', printed.err + printed.out, re.MULTILINE)
    assert not Path(MARKER).exists()


def test_each_subcommand_is_in_the_table_and_each_mistake_once():
    assert {mistake.command.split()[0] for mistake in MISTAKES} == {*subcommands.SUMMARIES, 'trian'}
    assert len(MISTAKES) >= 60
    assert [key for key, count in Counter((item.command, item.config) for item in MISTAKES).items() if count > 1] == []
    explained = {essence(mistake.message) for mistake in MISTAKES if mistake.cause}
    for mistake in MISTAKES:
        message = essence(mistake.message)
        assert any(re.fullmatch(pattern(row), message) for row in explained), message


def test_the_docs_have_the_table():
    require_table('troubleshooting.md', 'messages', ['message', 'cause', 'what to do'], table())


FAILING = {
    name: next(item.command for item in MISTAKES if item.command.startswith(f'{name} ') and item.code == 2
               and not item.config and '--help' not in item.message)
    for name in subcommands.SUMMARIES
    if name != 'doctor'
}  # fmt: skip


@pytest.mark.parametrize('command', FAILING.values())
def test_a_traceback_is_shown_on_request(command, capsys):
    assert run(f'{command} --traceback') == 2
    printed = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in printed and printed.splitlines()[-1].startswith('error: ')
    assert run(command) == 2
    assert printed.splitlines()[-1] == capsys.readouterr().err.splitlines()[-1]


def test_the_cause_is_part_of_a_requested_traceback(capsys):
    Path('own.py').write_text('1 / 0\n')
    assert run('train own.py --traceback') == 2
    assert re.search(r'own\.py", line 1, in <module>\n', capsys.readouterr().err)
