"""Every code block and every command of README and docs: configs build, scripts run, commands parse."""

import argparse
import contextlib
import io
import os
import re
import shlex
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image

import mmdet_kpheads
from mmdet_kpheads import compat, deploy
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads_cli import parsers
from tests.compat.processes import ROOT, call
from tests.training import fcos_arguments_warn

PAGES = sorted(
    [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'benchmarks/README.md', *ROOT.glob('docs/**/*.md')]
)
BLOCK = re.compile(r'^(`{3,})(\w*)\n(.*?)^\1$', re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r'(^ *|`)(mmdet-kpheads|python tools/\w+\.py) ([^\n`#]*)', re.MULTILINE)


# by tests/deploy, tests/cli/test_predict.py and tests/report, with what they need
TESTED_ELSEWHERE = ('OnnxDetector', 'openvino', 'supervision', 'write_report')
RUNTIME = Path(deploy.__file__).parent
OTHERS = ('cd', 'git', 'sysctl', 'tensorboard', 'trtexec')  # programs that this project neither has nor installs


class Block(NamedTuple):
    page: str
    text: str
    whole: bool = True


def blocks_of(*languages):
    return [
        Block(str(path.relative_to(ROOT)), text)
        for path in PAGES
        for _, found, text in BLOCK.findall(path.read_text())
        if found in languages
    ]


def commands():
    found = [
        Block(str(path.relative_to(ROOT)), f'{call} {rest}'.strip(), whole=before != '`')
        for path in PAGES
        for before, call, rest in COMMAND.findall(path.read_text())
    ]
    return sorted(set(found))


PYTHON = blocks_of('python')
CONFIGS = [block for block in PYTHON if '_base_ =' in block.text]
SCRIPTS = [block for block in PYTHON if re.search(r'^(import|from) ', block.text, re.MULTILINE)]
SETTINGS = [block for block in PYTHON if block not in CONFIGS and block not in SCRIPTS]


def names(blocks):
    return [f'{block.page}-{number}' for number, block in enumerate(blocks)]


@fcos_arguments_warn
@pytest.mark.parametrize('block', CONFIGS, ids=names(CONFIGS))
def test_configs_build(block, tmp_path):
    compat.install()
    for script in SCRIPTS:
        if script.page == block.page and 'register_module' in script.text:
            exec(script.text.replace('register_module()', 'register_module(force=True)'), {'__name__': 'page'})
    path = tmp_path / 'config.py'
    path.write_text(block.text)
    cfg = Config.fromfile(path)
    heads = {key: cfg.model[key] for key in ('bbox_head', 'rpn_head') if key in cfg.model}
    for head in heads.values():
        options = {} if 'train_cfg' in head else {'train_cfg': cfg.model.get('train_cfg'), 'test_cfg': None}
        MODELS.build({**head, **options} if head.type.startswith('mmdet_kpheads.') else head)
    assert any(head.type.startswith('mmdet_kpheads.') for head in heads.values())


@pytest.mark.parametrize('block', SETTINGS, ids=names(SETTINGS))
def test_settings_are_config_files(block, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(block.text.replace('...,', '').replace('...', 'None'))
    assert Config.fromfile(path)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What the scripts of the pages name: a photo, a folder of photos, checkpoints."""
    compat.install()
    mmdet_kpheads.register()
    folder = tmp_path_factory.mktemp('page')
    (folder / 'photos').mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    for name in ('photo.jpg', 'photos/a.jpg'):
        Image.fromarray(pixels).save(folder / name)
    for config, checkpoint in (
        ('centernet/centernet_r18_custom.py', 'epoch_50.pth'),
        ('demo/centernet_digits.py', 'epoch_4.pth'),
    ):
        cfg = Config.fromfile(configs_root() / config)
        cfg.model.backbone.init_cfg = None
        model = MODELS.build(cfg.model)
        meta = {
            'dataset_meta': dict(cfg.train_dataloader.dataset.get('dataset', cfg.train_dataloader.dataset).metainfo)
        }
        torch.save({'state_dict': model.state_dict(), 'meta': meta}, folder / checkpoint)
    return folder


@pytest.mark.parametrize('page', sorted({block.page for block in SCRIPTS}))
def test_scripts_run_and_print_what_the_page_says(page, folder, monkeypatch):
    """The blocks of a page run one after the other; ``# text`` below a print is its output."""
    monkeypatch.chdir(folder)
    values = {'__name__': 'page'}
    for block in SCRIPTS:
        if block.page != page:
            continue
        if any(name in block.text for name in TESTED_ELSEWHERE):
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block.text.replace('register_module()', 'register_module(force=True)'), values)
        expected = [line[2:] for line in block.text.splitlines() if line.startswith('# ')]
        if expected:
            assert printed.getvalue().splitlines() == expected


@pytest.mark.parametrize('block', commands(), ids=lambda block: f'{block.page}: {block.text}')
def test_commands_exist_with_their_options(block):
    """A command in a block parses as a whole; one inside a sentence may leave out arguments, but not invent options."""
    words = shlex.split(block.text)
    if words[0] == 'python':
        name = words[1].removeprefix('tools/').removesuffix('.py').replace('_', '-')
        words[:2] = ['mmdet-kpheads', {'convert-checkpoint': 'convert'}.get(name, name)]
    _, command, *arguments = words
    for word in arguments:
        if re.fullmatch(r'(centernet|cornernet|autoassign|demo)/[\w/-]+\.py', word):
            assert (configs_root() / word).exists(), word
    if command.startswith('-'):
        assert command == '--help'
    elif block.whole:
        parsers.parse(command, [word.removesuffix('...') for word in arguments if word != '...'])
    else:
        parser = argparse.ArgumentParser()
        parsers.ADDERS.get(command, lambda parser: None)(parser)
        options = {word.split('=')[0] for word in arguments if word.startswith('--')}
        assert command in parsers.SUMMARIES
        assert options <= set(parser._option_string_actions)


def test_every_block_is_code_that_is_checked_or_marked_as_text():
    for path in PAGES:
        text = path.read_text()
        assert {language for _, language, _ in BLOCK.findall(text)} <= {'', 'python', 'text'}, path
        assert not re.search(r'\n\n {4}\S', BLOCK.sub('', text)), f'{path}: an indented block; use a fence'


SHELL = [
    Block(block.page, command.strip())
    for block in blocks_of('')
    for line in block.text.splitlines()
    for command in re.sub(r'(^|  +)#.*', '', line).split(' && ')
    if command.strip() and not command.startswith('mmdet-kpheads ')
]


@pytest.mark.parametrize('block', SHELL, ids=lambda block: f'{block.page}: {block.text}')
def test_other_commands_name_what_exists(block):
    """Scripts, modules, targets, extras and configs."""
    words = shlex.split(re.sub(r'^\w+=\$\((.*)\)$', r'\1', block.text))
    while re.match(r'[A-Z_]+=', words[0]):
        del words[0]
    program, *arguments = words
    if program == 'pip':
        named = re.findall(r'\[([\w,]+)\]', block.text)
        extras = set(metadata.metadata('mmdet_kpheads').get_all('Provides-Extra') or [])
        assert {extra for names in named for extra in names.split(',')} <= extras
    elif arguments and arguments[0] == '-c':
        assert program == 'python' and compile(arguments[1], block.page, 'exec')
    elif program in ('python', 'torchrun'):
        module = arguments[arguments.index('-m') + 1] if '-m' in arguments else None
        file = next((word for word in arguments if word.endswith('.py')), '')
        assert find_spec(module) if module else (ROOT / file).exists() or (RUNTIME / file).exists()
    elif program == 'make':
        assert re.search(rf'^{arguments[0]}:', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    elif program.startswith('tools/'):
        assert os.access(ROOT / program, os.X_OK)
        configs = [word for word in arguments if '/' in word and word.endswith('.py')]
        assert all((configs_root() / config).exists() for config in configs)
    else:
        assert program in OTHERS


def test_modules_that_a_page_runs_exist():
    modules = {name for path in PAGES for name in re.findall(r'python -m ([\w.]+)', path.read_text())}
    assert modules > {'benchmarks.comparison', 'mmdet_kpheads.run'}
    assert all(find_spec(module) for module in modules), modules


SHORTER = {
    '--num-train 500 --num-val 100': '--num-train 24 --num-val 8',
    '--epochs 10': '--epochs 1',
    'epoch_10': 'epoch_1',
}


@pytest.mark.slow
def test_the_first_detector_as_typed(tmp_path):
    """Every command of the page, with fewer images and one epoch."""
    text = (ROOT / 'docs/first_detector.md').read_text()
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    lines = [
        line for _, _, block in BLOCK.findall(text) for line in block.splitlines() if line.startswith('mmdet-kpheads')
    ]
    assert len(lines) > 5
    for line in lines:
        done = call('-m', 'mmdet_kpheads_cli', *shlex.split(line)[1:], cwd=tmp_path)
        assert done.returncode == 0, f'{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
    assert list((tmp_path / 'checked').iterdir()) and list((tmp_path / 'found').rglob('*.jpg'))


def test_the_checks_see_wrong_blocks():
    assert len(CONFIGS) > 5 and len(SCRIPTS) > 3 and len(commands()) > 20
    with pytest.raises(SystemExit):
        parsers.parse('train', ['config.py', '--no-such-argument'])
    assert mmdet_kpheads.__version__
