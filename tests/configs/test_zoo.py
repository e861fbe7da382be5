"""Metafiles, headers and docs list every recipe, with its numbers and with what was run of it."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdet_kpheads.compat.config_bases import configs_root
from tests.tables import require_table
from tests.training import fcos_arguments_warn

ROOT = configs_root().parent
HEADS = ('centernet', 'cornernet', 'autoassign')
METAFILES = {head: yaml.safe_load((ROOT / f'configs/{head}/metafile.yml').read_text()) for head in HEADS}
RECIPES = [model for metafile in METAFILES.values() for model in metafile['Models']]
CONFIGS = {
    str(path.relative_to(ROOT)) for path in configs_root().rglob('*.py') if '_base_' not in path.relative_to(ROOT).parts
}
TEMPLATES = {config for config in CONFIGS if '_custom' in config}
# The path says what was run: tests alone have built and stepped the templates and what is in `untrained`.
STEPPED = TEMPLATES | {config for config in CONFIGS if 'untrained' in Path(config).parts}
TRAINED = CONFIGS - STEPPED
TRAINED_HEADING, STEPPED_HEADING = 'Trained and evaluated here', 'Built and stepped in tests'
# without their classifier: torchvision's table of weights, and the authors of DLA (15.8 M with 0.5 M that are not here)
PUBLISHED_BACKBONES = {'r18': 11_176_512, 'r50': 23_508_032, 'r101': 42_500_160, 'dla34': 15_229_104}


def named(models):
    return [pytest.param(model, id=model['Name']) for model in models]


def config_of(model):
    init_default_scope('mmdet')
    return Config.fromfile(ROOT / model['Config'])


def header_of(config):
    """Its comment as one line."""
    return ' '.join((ROOT / config).read_text().split('_base_ =')[0].replace('#', ' ').split())


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def test_model_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert sorted(index['Import']) == sorted(f'configs/{head}/metafile.yml' for head in HEADS)


def test_every_recipe_is_listed_once():
    listed = [model['Config'] for model in RECIPES]
    assert sorted(listed) == sorted(CONFIGS - TEMPLATES)
    assert all(Path(model['Config']).stem == model['Name'] for model in RECIPES)


@fcos_arguments_warn
@pytest.mark.parametrize('model', named(RECIPES))
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


@pytest.mark.parametrize('model', named(model for model in RECIPES if model['Config'] in STEPPED))
def test_header_says_the_published_figure(model):
    header = header_of(model['Config'])
    if 'Results' in model:
        (figure,) = model['Results'][0]['Metrics'].values()
        assert str(figure) in header and 'Weights' in model and 'Not trained here' in header
        assert model['Results'][0]['Source'] != 'trained here'
    else:
        assert 'not measured' in header


@pytest.mark.parametrize('model', named(model for model in RECIPES if model['Config'] in TRAINED))
def test_header_says_what_was_measured_here(model):
    header = header_of(model['Config'])
    (result,) = model['Results']
    assert result['Source'] == 'trained here' and 'Trained here' in header
    assert all(str(figure) in header for figure in result['Metrics'].values())


@pytest.mark.parametrize('config', sorted(TEMPLATES))
def test_header_of_a_template_claims_no_training(config):
    assert 'not trained as written' in header_of(config)


@pytest.mark.parametrize('model', named(model for model in RECIPES if 'Results' in model and model['Config'] in STEPPED))
def test_flip_tta_of_a_published_figure_is_that_of_its_source(model):
    cfg, source = config_of(model), model['Results'][0]['Source']
    wrapper = cfg.get('tta_model')
    if 'mstest' in model['Name']:
        assert wrapper.type == 'DetTTAModel'
    elif model['Config'].startswith('configs/cornernet'):
        assert wrapper.to_dict() == {'type': 'mmdet_kpheads.FlipJoin'} and cfg.model.test_cfg.nms.type == 'soft_nms'
    elif source.startswith('CenterNet repository'):
        assert wrapper.to_dict() == {'type': 'mmdet_kpheads.FlipAverage', 'average_offsets': False}
        assert cfg.model.bbox_head.radius == 'legacy'


def test_every_config_is_in_one_of_two_groups_and_the_docs_agree():
    sections = re.split('^## ', (ROOT / 'docs/zoo.md').read_text(), flags=re.MULTILINE)
    linked = {
        section.split('\n')[0]: re.findall(r'^\| \[[^]]*\]\(\.\./(configs/[^)]*)\)', section, re.MULTILINE)
        for section in sections
    }
    assert sorted(linked[TRAINED_HEADING]) == sorted(TRAINED)
    assert sorted(linked[STEPPED_HEADING]) == sorted(STEPPED)
    assert sum(map(len, linked.values())) == len(CONFIGS)


def link(config):
    return f'[{Path(config).stem}](../{config})'


def sizes(model):
    metadata = model['Metadata']
    return [f'{metadata["Parameters"] / 1e6:.1f} M', str(metadata['Batch Size']), str(metadata['Epochs'])]


def test_table_of_what_was_trained():
    rows = []
    for model in RECIPES:
        if model['Config'] in TRAINED:
            metrics = model['Results'][0]['Metrics']
            figures = [str(metrics['box AP']), str(metrics['box AP50'])]
            rows.append([link(model['Config']), model['Results'][0]['Dataset'], *sizes(model), *figures])
    header = ['config', 'evaluated on', 'parameters', 'total batch size', 'epochs', 'AP', 'AP50']
    require_table('zoo.md', 'trained', header, rows)


@pytest.mark.parametrize('head', HEADS)
def test_table_in_the_docs(head):
    rows = []
    for model in METAFILES[head]['Models']:
        if model['Config'] in TRAINED:
            continue
        results, weights = model.get('Results'), model.get('Weights', '')
        published = (
            f'{next(iter(results[0]["Metrics"].values()))} ({results[0]["Source"].split(",")[0]})' if results else ''
        )
        source = f'[mmdet]({weights})' if '://' in weights else weights and f'`{weights}`'
        rows.append([link(model['Config']), *sizes(model), published, source])
    header = ['config', 'parameters', 'total batch size', 'epochs', 'published', 'weights']
    require_table('zoo.md', head, header, rows)


def test_table_of_templates():
    rows = [[link(config), 'VOC' if config.endswith('-voc.py') else 'COCO'] for config in sorted(TEMPLATES)]
    require_table('zoo.md', 'templates', ['config', 'format'], rows)
