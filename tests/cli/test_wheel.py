"""The wheel carries configs, tools, the command and py.typed, and works from an empty directory."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

CONFIG = """
from mmengine.config import Config
import mmdet_kpheads
from mmdet_kpheads import compat
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
assert {site!r} in mmdet_kpheads.__file__, mmdet_kpheads.__file__
compat.install()
cfg = Config.fromfile('own.py')
init_default_scope('mmdet')
print(MODELS.build(cfg.model).bbox_head.num_classes, configs_root())
"""
COMMAND = """
import sys
from importlib.metadata import distribution
(entry,) = [entry for entry in distribution('mmdet-kpheads').entry_points if entry.group == 'console_scripts']
assert entry.name == 'mmdet-kpheads', entry
sys.argv = ['mmdet-kpheads', '--help']
code = entry.load()()
print(sys.modules['mmdet_kpheads_cli'].__file__)
sys.exit(code)
"""


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """A clean environment with the packages of this one and our wheel."""
    folder = tmp_path_factory.mktemp('wheel')
    pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
    (folder / 'source').mkdir()  # a build leaves folders in its source
    for path in (ROOT / name for name in ('README.md', 'LICENSE', 'model-index.yml', 'pyproject.toml', 'setup.py')):
        shutil.copy(path, folder / 'source')
    for name in ('mmdet_kpheads', 'mmdet_kpheads_cli', 'configs', 'tools'):
        shutil.copytree(ROOT / name, folder / 'source' / name, ignore=shutil.ignore_patterns('__pycache__'))
    subprocess.run([*pip, 'wheel', '--no-deps', '--wheel-dir', str(folder), str(folder / 'source')], check=True)
    (wheel,) = folder.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'mmdet_kpheads/.mim/configs/centernet/centernet_r18_custom.py' in names
    assert {'mmdet_kpheads/.mim/model-index.yml', 'mmdet_kpheads/.mim/configs/centernet/metafile.yml'} <= set(names)
    assert {'mmdet_kpheads/py.typed', 'mmdet_kpheads/report/page.html'} <= set(names)
    assert 'mmdet_kpheads/.mim/tools/train.py' in names and not any('__pycache__' in name for name in names)
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder / 'venv')], check=True)
    (site,) = (folder / 'venv').glob('lib/python*/site-packages')
    zipfile.ZipFile(wheel).extractall(site)
    # the packages of this environment without its .pth files, which add an editable install of this checkout
    others = [path for path in sys.path if path.endswith('site-packages')]
    (site / 'others.pth').write_text('\n'.join(others))
    return folder / 'venv/bin/python'


def run(python, folder, *arguments):
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    result = subprocess.run(
        [str(python), '-W', 'ignore', *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_base_resolves_by_name_and_tools_start(python, tmp_path):
    (tmp_path / 'own.py').write_text("_base_ = 'mmdet_kpheads::centernet/untrained/centernet_r18_8xb16-140e_coco.py'\n")
    site = str(python.parents[1])
    assert '80 ' in (out := run(python, tmp_path, '-c', CONFIG.format(site=site))) and site in out
    (tools,) = python.parents[1].glob('lib/python*/site-packages/mmdet_kpheads/.mim/tools')
    for tool, name in {'train': 'train', 'check_dataset': 'check-dataset', 'convert_checkpoint': 'convert'}.items():
        assert f'usage: mmdet-kpheads {name} ' in run(python, tmp_path, str(tools / f'{tool}.py'), '--help')


def test_the_command_is_installed(python, tmp_path):
    out = run(python, tmp_path, '-c', COMMAND)
    assert 'check-dataset' in out and str(python.parents[1]) in out
    assert 'mmdet_kpheads is usable.' in run(python, tmp_path, '-m', 'mmdet_kpheads', 'doctor')


def test_demo_config_trains_from_the_wheel(python, tmp_path):
    (tools,) = python.parents[1].glob('lib/python*/site-packages/mmdet_kpheads/.mim/tools')
    run(python, tmp_path, str(tools / 'make_digits.py'), 'data/digits', '--num-train', '8', '--num-val', '2')
    options = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=4']
    run(python, tmp_path, '-m', 'mmdet_kpheads', 'train', 'demo/centernet_digits.py', '--cfg-options', *options)
    assert (tmp_path / 'work_dirs/centernet_digits/epoch_1.pth').is_file()
    run(python, tmp_path, str(tools / 'report.py'), 'work_dirs/centernet_digits')
    assert '</html>' in (tmp_path / 'work_dirs/centernet_digits/report.html').read_text()
