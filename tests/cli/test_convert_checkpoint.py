"""The converter as a command: its output loads, and a checkpoint that does not fit is refused by name."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint

from mmdet_kpheads.cli import convert_checkpoint
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.errors import InputError
from tests.convert.test_convert import BACKBONES, CHANNELS, MODELS_OF, dla_up
from tests.reference import authors

CLASSES = 20


@pytest.fixture
def config(tmp_path):
    """The VOC recipe with DLA-34, narrow."""
    cfg = Config.fromfile(configs_root() / 'centernet/untrained/centernet_dla34-dcnv2_1xb32-70e_voc0712-384.py')
    cfg.model.backbone, cfg.model.neck = BACKBONES['dla'], dla_up(True)
    cfg.model.bbox_head.update(in_channels=16, feat_channels=12)
    cfg.dump(tmp_path / 'narrow.py')
    return str(tmp_path / 'narrow.py')


@pytest.fixture
def theirs(tmp_path):
    torch.save(authors.CenterNetDLA(CHANNELS, CLASSES, 12).state_dict(), tmp_path / 'theirs.pth')
    return str(tmp_path / 'theirs.pth')


def test_the_output_loads_and_has_its_classes(config, theirs, tmp_path, capsys):
    out = tmp_path / 'new' / 'ours.pth'
    convert_checkpoint.main([config, theirs, str(out)])
    printed = capsys.readouterr().out
    assert 'recognized as xingyizhou/CenterNet, dla (deformable)' in printed and 'every parameter' in printed
    model = convert_checkpoint.MODELS.build(Config.fromfile(config).model)
    checkpoint = load_checkpoint(model, str(out), strict=True)
    assert len(checkpoint['meta']['dataset_meta']['classes']) == CLASSES


def test_a_config_that_does_not_fit_is_refused_by_name(theirs, tmp_path):
    other = 'centernet/untrained/centernet_r18_8xb16-140e_voc0712.py'
    differences = r"missing, \('backbone.bn1.bias'.*unexpected, \('backbone.base_"
    with pytest.raises(InputError, match=f'does not fit .*{differences}'):
        convert_checkpoint.main([other, theirs, str(tmp_path / 'out.pth')])
    assert not (tmp_path / 'out.pth').exists()


def test_another_number_of_classes_is_refused_by_shape(config, tmp_path):
    torch.save(authors.CenterNetDLA(CHANNELS, 80, 12).state_dict(), tmp_path / 'coco.pth')
    with pytest.raises(InputError, match=r'heatmap_head.2.bias is \(80,\) and must be \(20,\)'):
        convert_checkpoint.main([config, str(tmp_path / 'coco.pth'), str(tmp_path / 'out.pth')])


def test_a_file_that_is_not_data_is_refused(config, tmp_path):
    torch.save({'state_dict': {}, 'function': print}, tmp_path / 'hostile.pth')
    with pytest.raises(InputError, match=r'is refused: it references print, which is not a tensor or plain data'):
        convert_checkpoint.main([config, str(tmp_path / 'hostile.pth'), str(tmp_path / 'out.pth')])


def test_the_docs_name_every_source_in_the_code():
    text = (configs_root().parent / 'docs/zoo.md').read_text()
    for repository in {name.split(',')[0].split(' (')[0] for name in MODELS_OF}:
        assert repository.split('/')[0].removesuffix('-BaseDetection').split('-')[0] in text
