"""The metafiles and the table of the docs list every recipe, with the numbers of the recipe."""

from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_kpheads.compat.config_bases import configs_root
from tests.tables import require_table

ROOT = configs_root().parent
HEADS = ('centernet', 'cornernet', 'autoassign')
METAFILES = {head: yaml.safe_load((ROOT / f'configs/{head}/metafile.yml').read_text()) for head in HEADS}
RECIPES = [model for metafile in METAFILES.values() for model in metafile['Models']]
# without their classifier: torchvision's table of weights, and the authors of DLA (15.8 M with 0.5 M that are not here)
PUBLISHED_BACKBONES = {'r18': 11_176_512, 'r50': 23_508_032, 'r101': 42_500_160, 'dla34': 15_229_104}


def named(model):
    return pytest.param(model, id=model['Name'])


def config_of(model):
    init_default_scope('mmdet')
    return Config.fromfile(ROOT / model['Config'])


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def test_model_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(index['Import']) == sorted(f'configs/{head}/metafile.yml' for head in HEADS)


def test_every_recipe_is_listed_once():
    found = {
        str(path.relative_to(ROOT))
        for head in HEADS
        for path in (ROOT / 'configs' / head).glob('*.py')
        if 'custom' not in path.name
    }
    listed = [model['Config'] for model in RECIPES]
    assert sorted(listed) == sorted(found)
    assert all(Path(model['Config']).stem == model['Name'] for model in RECIPES)


@pytest.mark.parametrize('model', map(named, RECIPES))
def test_numbers_are_those_of_the_recipe(model):
    cfg = config_of(model)
    with torch.device('cpu' if 'pvt' in model['Name'] else 'meta'):  # meta: no memory; PVT reads values of a tensor
        detector = MODELS.build(cfg.model)
    passes = cfg.train_cfg.max_epochs * cfg.train_dataloader.dataset.get('times', 1)
    metadata = model['Metadata']
    assert (metadata['Parameters'], metadata['Epochs']) == (parameters(detector), passes)
    assert metadata['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    for depth, published in PUBLISHED_BACKBONES.items():
        if any(part.split('-')[-1] == depth for part in model['Name'].replace('-dcnv2', '').split('_')):
            assert parameters(detector.backbone) == published


@pytest.mark.parametrize('model', map(named, RECIPES))
def test_header_says_the_published_figure(model):
    header = (ROOT / model['Config']).read_text().split('_base_ =')[0]
    if 'Results' in model:
        (figure,) = model['Results'][0]['Metrics'].values()
        assert str(figure) in header and 'Weights' in model
    else:
        assert 'not measured' in header


@pytest.mark.parametrize('head', HEADS)
def test_table_in_the_docs(head):
    rows = []
    for model in METAFILES[head]['Models']:
        metadata, results = model['Metadata'], model.get('Results')
        published = f'{next(iter(results[0]["Metrics"].values()))} ({results[0]["Source"].split(",")[0]})' if results else ''
        weights = model.get('Weights', '')
        rows.append(
            [
                f'[{model["Name"]}](../{model["Config"]})',
                f'{metadata["Parameters"] / 1e6:.1f} M',
                str(metadata['Batch Size']),
                str(metadata['Epochs']),
                published,
                f'[mmdet]({weights})' if '://' in weights else weights and f'`{weights}`',
            ]
        )
    require_table('zoo.md', head, ['config', 'parameters', 'images a step', 'epochs', 'published', 'weights'], rows)
