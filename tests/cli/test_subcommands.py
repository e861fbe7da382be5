"""The command: its help, its errors, and what it imports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmdet_kpheads
from mmdet_kpheads import cli
from mmdet_kpheads.errors import InputError
from mmdet_kpheads_cli import subcommands
from tests.compat.processes import ROOT, broken_stack, call

TOOLS = {
    'init': 'init',
    'train': 'train',
    'test': 'test',
    'predict': 'predict',
    'report': 'report',
    'check-dataset': 'check_dataset',
    'convert': 'convert_checkpoint',
    'show-assignment': 'show_assignment',
    'make-digits': 'make_digits',
    'demo': 'demo',
    'export': 'export',
}
SHARED = {
    '__init__',
    'arguments',
    'config_checks',
    'explanations',
    'failures',
    'header',
    'resuming',
    'running',
    'showing',
    'speed',
}


def test_every_module_of_the_folder_is_a_subcommand_or_known():
    modules = {path.stem for path in Path(cli.__file__).parent.glob('*.py')}
    of_commands = {subcommands.MODULES.get(name, name.replace('-', '_')) for name in subcommands.SUMMARIES}
    assert modules - of_commands == SHARED
    assert of_commands <= modules
    assert set(TOOLS) | {'doctor'} == set(subcommands.SUMMARIES)


@pytest.mark.parametrize(('argv', 'code'), [(['--help'], 0), (['-h'], 0), ([], 2)])
def test_help_lists_every_subcommand_on_one_line(argv, code, capsys):
    assert subcommands.main(argv) == code
    printed = capsys.readouterr().out
    for name, summary in subcommands.SUMMARIES.items():
        assert re.search(rf'^  {name} +{re.escape(summary)}$', printed, re.MULTILINE)


def test_version(capsys):
    assert subcommands.main(['--version']) == 0
    assert capsys.readouterr().out == f'mmdet-kpheads {mmdet_kpheads.__version__}\n'


@pytest.mark.parametrize('name', subcommands.SUMMARIES)
def test_help_of_a_subcommand(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        subcommands.main([name, '--help'])
    assert not stopped.value.code
    assert re.search(rf'^usage: mmdet-kpheads {name} ', capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('trian', "did you mean 'train'?"),
        ('check_dataset', "did you mean 'check-dataset'?"),
        ('x', 'the subcommands are init, train, test, '),
    ],
)
def test_a_misspelled_subcommand_is_one_line(name, hint, capsys):
    assert subcommands.main([name]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith(f"error: there is no subcommand '{name}'; ")
    assert hint in printed.err
    assert printed.err.count('\n') == 1


@pytest.fixture
def fake_train(monkeypatch):
    """Puts a function in the place of ``train``."""

    def put(function):
        monkeypatch.setattr('mmdet_kpheads.cli.train.main', function)

    return put


def test_input_error_is_one_line_and_exit_code_2(fake_train, capsys):
    def main(argv):
        raise InputError(f'the file {argv[0]} is missing')

    fake_train(main)
    assert subcommands.main(['train', 'x']) == 2
    assert capsys.readouterr().err == 'error: the file x is missing\n'


def test_other_errors_keep_their_traceback(fake_train):
    def main(argv):
        raise ValueError('a bug')

    fake_train(main)
    with pytest.raises(ValueError, match='a bug'):
        subcommands.main(['train', 'x'])


@pytest.mark.parametrize(('returned', 'code'), [(None, 0), (0, 0), (1, 1)])
def test_exit_code_of_a_subcommand(returned, code, fake_train):
    fake_train(lambda argv: returned)
    assert subcommands.main(['train', 'x']) == code


def test_arguments_of_the_process_are_the_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['mmdet-kpheads', '--version'])
    assert subcommands.main() == 0
    assert 'mmdet-kpheads' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('given', 'count'),
    [({}, '10000'), ({'OMP_WAIT_POLICY': 'PASSIVE'}, None), ({'GOMP_SPINCOUNT': '7'}, '7')],
)
def test_waiting_threads_are_configured_unless_the_user_has(given, count, fake_train, monkeypatch):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.setenv(name, '')  # so that the end of the test restores what the command sets
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    fake_train(lambda argv: None)
    subcommands.main(['train', 'x'])
    assert os.environ.get('GOMP_SPINCOUNT') == count


HELP = """
import contextlib, io, sys
from mmdet_kpheads_cli import subcommands
with contextlib.redirect_stdout(io.StringIO()):
    codes = [subcommands.main(['--help']), subcommands.main(['--version'])]
    for name in subcommands.SUMMARIES:
        try:
            subcommands.main([name, '--help'])
        except SystemExit as stopped:
            codes.append(stopped.code)
print(codes)
print(sorted({'mmdet_kpheads', 'mmengine', 'numpy', 'torch'} & set(sys.modules)))
"""


def test_help_and_version_import_no_torch():
    seen = call('-c', HELP)
    codes, imported = seen.stdout.splitlines()
    assert codes == str([0] * (2 + len(subcommands.SUMMARIES))), seen.stderr
    assert imported == '[]'


IMPORTED = """
import sys
from mmdet_kpheads_cli import subcommands
code = subcommands.main(sys.argv[1:])
from mmengine.config import Config
print(sorted(name.split('.')[2] for name in sys.modules if name.startswith('mmdet_kpheads.cli.')))
print(Config._get_cfg_path.__module__)
"""


def test_only_the_called_subcommand_is_imported_and_installs():
    seen = call('-c', IMPORTED, 'train', 'nowhere.py')
    modules, bases = seen.stdout.splitlines()[-2:]
    assert "'train'" in modules and "'demo'" not in modules, seen.stderr
    assert bases == 'mmdet_kpheads.compat.config_bases'


ALL = """
import sys
from mmdet_kpheads_cli import subcommands
for name in subcommands.SUMMARIES:
    if name != 'doctor':
        # its required arguments
        given = {
            'init': ['--data', 'x'], 'test': ['x'] * 2, 'predict': ['x'] * 3, 'export': ['x', 'x', '--out', 'x'],
            'convert': ['x'] * 3, 'show-assignment': ['x'] * 2, 'demo': [],
        }.get(name, ['x'])
        print('', name, subcommands.main([name, *given]), sep='\\n', file=sys.stderr)
"""


def test_with_a_broken_stack_every_subcommand_explains_it(tmp_path):
    seen = call('-c', ALL, path=broken_stack(tmp_path))
    assert seen.returncode == 0
    assert seen.stdout == ''
    assert 'Traceback' not in seen.stderr
    assert seen.stderr.count('error: mmdet_kpheads cannot be used:\n- mmdet is missing\nInstall') == len(TOOLS)
    for name in TOOLS:
        assert f'\n\n{name}\n1\n' in seen.stderr


def test_with_a_broken_stack_the_process_ends_with_1_and_help_works(tmp_path):
    broken_stack(tmp_path)
    seen = call('-m', 'mmdet_kpheads', 'train', 'config.py', path=tmp_path)
    assert seen.returncode == 1
    assert seen.stderr.startswith('error: mmdet_kpheads cannot be used:\n- mmdet is missing')
    assert seen.stderr.count('mmdet is missing') == 1
    seen = call('-m', 'mmdet_kpheads', '--help', path=tmp_path)
    assert seen.returncode == 0
    assert 'check-dataset' in seen.stdout
    assert not seen.stderr


NOT_INSTALLED = """
import runpy, sys
sys.path += sys.argv[1].split(':')  # without site, and so without the .pth file of an editable install
sys.argv = sys.argv[2:]
try:
    import mmdet_kpheads
except ModuleNotFoundError:
    runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_a_tool_works_from_a_checkout_that_is_not_installed(tmp_path):
    packages = ':'.join(path for path in sys.path if path.endswith('site-packages'))
    script = str(ROOT / 'tools/train.py')
    command = [sys.executable, '-S', '-W', 'ignore', '-c', NOT_INSTALLED, packages, script, '--help']
    seen = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert seen.returncode == 0, seen.stderr
    assert 'usage: mmdet-kpheads train ' in seen.stdout


def test_every_tool_is_the_same_script_over_its_subcommand():
    assert {path.stem for path in (ROOT / 'tools').glob('*.py')} == set(TOOLS.values())
    texts = set()
    for name, tool in TOOLS.items():
        text = (ROOT / f'tools/{tool}.py').read_text()
        assert f"main(['{name}', *sys.argv[1:]])" in text
        texts.add(text.replace(f"['{name}'", '[').replace(f'kpheads {name}`', ''))
    assert len(texts) == 1
