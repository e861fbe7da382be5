import pytest
from mmengine.config import Config

from mmdet_kpheads.compat import config_bases


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Our package as in a wheel, with one config."""
    root = tmp_path / 'mmdet_kpheads'
    folder = root / '.mim' / 'configs' / 'centernet'
    folder.mkdir(parents=True)
    (folder / 'small.py').write_text("model = dict(type='CenterNet', depth=18)\n")
    monkeypatch.setattr(config_bases, 'PACKAGE_ROOT', root)
    return root


def derived(tmp_path, base):
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = ['{base}']\nmodel = dict(depth=34)\n")
    return str(config)


def test_a_base_in_the_wheel(packed, tmp_path):
    config = Config.fromfile(derived(tmp_path, 'mmdet_kpheads::centernet/small.py'))
    assert config.model == {'type': 'CenterNet', 'depth': 34}  # no _scope_: the type stays mmdet's


def test_a_base_in_the_checkout(packed, tmp_path):
    (packed / '.mim').rename(tmp_path / 'was')
    folder = tmp_path / 'configs' / 'centernet'
    folder.mkdir(parents=True)
    (folder / 'small.py').write_text("model = dict(type='CenterNet', depth=50)\n")
    config = Config.fromfile(derived(tmp_path, 'mmdet_kpheads::centernet/small.py'))
    assert config.model.depth == 34
    assert config_bases.configs_root() == tmp_path / 'configs'


def test_this_checkout_has_configs():
    assert config_bases.configs_root().is_dir()


def test_a_base_of_mmdet(tmp_path):
    """mmengine 0.10.7 needs pkg_resources for this, which setuptools 82 removed."""
    config = Config.fromfile(derived(tmp_path, 'mmdet::_base_/models/retinanet_r50_fpn.py'))
    assert config.model.type == 'RetinaNet'
    assert config.model._scope_ == 'mmdet'


def test_a_local_base(tmp_path):
    (tmp_path / 'base.py').write_text('model = dict(depth=18, width=1)\n')
    assert Config.fromfile(derived(tmp_path, './base.py')).model == {'depth': 34, 'width': 1}


def test_a_missing_base_names_the_file(packed, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'mmdet_kpheads::centernet/smal.py in .*mine.py: there is no'):
        Config.fromfile(derived(tmp_path, 'mmdet_kpheads::centernet/smal.py'))


def test_another_package_or_config_that_is_missing_is_named(tmp_path):
    mine = str(tmp_path / 'mine.py')
    with pytest.raises(FileNotFoundError, match=r'mine\.py: there is no package no_such_package'):
        config_bases.get_cfg_path('no_such_package::a/b.py', mine)
    with pytest.raises(FileNotFoundError, match=r'mine\.py: there is no .*configs/a/b\.py'):
        config_bases.get_cfg_path('mmdet::a/b.py', mine)
