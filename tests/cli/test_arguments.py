"""Configs are found by path or name. An error in one is one line."""

import argparse
from pathlib import Path

import pytest
from mmengine.config import Config, DictAction

from mmdet_kpheads.cli import arguments
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.errors import InputError
from mmdet_kpheads_cli import parsers

CARRIED = 'centernet/centernet_bccd.py'


def parse(*argv):
    return parsers.parse('check-dataset', argv)


@pytest.mark.parametrize(
    'name', [CARRIED, CARRIED.removesuffix('.py'), f'configs/{CARRIED}', f'mmdet_kpheads::{CARRIED}']
)
def test_carried_config_is_found_by_name_from_any_directory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arguments.find_config(name) == configs_root() / CARRIED


def test_path_goes_before_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('centernet').mkdir()
    Path(CARRIED).write_text('')
    assert arguments.find_config(CARRIED) == Path(CARRIED)


def test_missing_config_names_near_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r'config not found: centernet_r18_costum.py, .* one of .*_custom\.py'):
        arguments.find_config('centernet_r18_costum.py')
    with pytest.raises(InputError, match=r'one of .*demo/centernet_digits\.py'):
        arguments.find_config('xyz')


@pytest.mark.parametrize('text', ['a = (', 'a = b', "_base_ = 'nowhere.py'", "_base_ = ['mmdet_kpheads::no/no.py']"])
def test_config_that_cannot_be_read_is_named(tmp_path, text):
    (tmp_path / 'broken.py').write_text(text)
    with pytest.raises(InputError, match=r'config .*broken\.py cannot be read: '):
        arguments.load_config(parse(str(tmp_path / 'broken.py')))


def test_options_and_work_dir(tmp_path):
    (tmp_path / 'own.py').write_text('model = dict(b=1)\n')
    cfg = arguments.load_config(parse(str(tmp_path / 'own.py'), '--cfg-options', 'model.b=2', 'model.c=x,y'))
    assert cfg.model == {'b': 2, 'c': ['x', 'y']} and cfg.launcher == 'none'
    assert cfg.work_dir == str(Path('work_dirs/own'))
    assert arguments.load_config(parse(str(tmp_path / 'own.py'), '--work-dir', 'w')).work_dir == 'w'


def test_options_have_mmengines_syntax():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    words = ['--cfg-options', 'a=1', 'b=[(1,x),[2.5,None]]', 'c="[p,q]"', 'd=k=v', '--cfg-options', 'a=true', 'e=']
    expected = parser.parse_args(words).cfg_options
    assert arguments.parse_options(parse('x.py', *words).cfg_options) == expected
    assert expected['a'] is True and expected['d'] == 'k=v'
    assert arguments.parse_options(None) == {}


def test_an_option_without_a_value_is_named(capsys):
    with pytest.raises(SystemExit):
        parse('x.py', '--cfg-options', 'a=1', 'lr')
    assert "error: argument --cfg-options: 'lr' is not of the form key=value" in capsys.readouterr().err


def test_weights_of_a_local_file_must_exist(tmp_path, capsys):
    init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'a.pth')}
    model = Config({'model': {'backbone': {'init_cfg': init_cfg}}}).model
    with pytest.raises(InputError, match=r'checkpoint not found: .*a\.pth'):
        arguments.require_checkpoints(model)
    (tmp_path / 'a.pth').touch()
    arguments.require_checkpoints(model)
    assert not capsys.readouterr().out


def test_download_is_announced(capsys):
    init_cfg = [{'type': 'Pretrained', 'checkpoint': 'https://example.org/a.pth'}, {'type': 'Kaiming'}]
    arguments.require_checkpoints({'init_cfg': init_cfg})
    assert 'https://example.org/a.pth is downloaded unless cached' in capsys.readouterr().out


def test_drop_in_is_imported_only_when_asked_for(monkeypatch):
    imported: list[str] = []
    monkeypatch.setattr(arguments, 'import_module', imported.append)
    arguments.load_config(parse(CARRIED))
    assert not imported
    arguments.load_config(parse(CARRIED, '--drop-in'))
    assert imported == ['mmdet_kpheads.drop_in']
