"""Links, commands and targets that the Markdown pages name exist."""

import dataclasses
import re
import runpy

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import Registry

import mmdet_kpheads
from mmdet_kpheads import compat
from mmdet_kpheads import registry as kpheads_registry
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.decoding import options
from mmdet_kpheads.errors import listed
from mmdet_kpheads.fitting import COUNTER, load_fitting
from mmdet_kpheads_cli.subcommands import SUMMARIES
from tests.compat.processes import ROOT
from tests.scenes import instances, metas
from tests.training import SMALL_HEADS, features_of, small_head

PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('benchmarks/*.md')])
GENERATED = ('api.md', 'commands.md', 'functional.md')  # pages of the site that docs/site/pages.py writes
LINK = re.compile(r'\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#+ (.+)$', re.MULTILINE)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in HEADING.findall(text)}


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition('#')
        if path.startswith(('http://', 'https://')):
            continue
        target = page.parent / path if path else page
        if page.parent.name == 'reference' and path in GENERATED:
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize('page', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_commands_and_targets_exist(page):
    text = page.read_text()
    targets = set(re.findall(r'^([\w-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    assert set(re.findall(r'(?:^ *|`)make ([a-z][\w-]*)', text, re.MULTILINE)) <= targets
    assert set(re.findall(r'(?:^ *|`)mmdet-kpheads ([a-z][\w-]*)', text, re.MULTILINE)) <= set(SUMMARIES)


def test_the_newest_release_of_the_changelog_is_the_version_everywhere():
    release, date = re.search(r'^## \[(\d\S*)\] - (\S+)$', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE).groups()
    assert release == mmdet_kpheads.__version__
    citation = (ROOT / 'CITATION.cff').read_text()
    assert f"\nversion: {release}\ndate-released: '{date}'\n" in citation
    named = {page.name: set(re.findall(r'mmdet_kpheads[- ](\d+\.\d+\.\d+)', page.read_text())) for page in PAGES}
    assert {name for name, versions in named.items() if versions} >= {'install.md', 'logging.md'}
    assert all(versions <= {release} for versions in named.values()), named


def test_badges_state_the_facts():
    badges = runpy.run_path(str(ROOT / 'docs/site/badges.py'))
    drawn = badges['drawn']()
    assert drawn == {path.name: path.read_text() for path in badges['FOLDER'].glob('*.svg')}, (
        'python docs/site/badges.py'
    )
    named = re.findall(r'docs/images/badges/(\w+\.svg)', (ROOT / 'README.md').read_text())
    assert sorted(named) == sorted(drawn)
    assert not (ROOT / 'benchmarks/results/gpu/gpu_report.json').exists() or 'not measured' not in drawn['cuda.svg']


def test_figures_are_drawn_from_the_package(tmp_path):
    names = ['radius_figure', 'tags_figure', 'prior_figure']
    with mpl.rc_context():
        figures = runpy.run_path(str(ROOT / 'docs/site/figures.py'))
        for name in names:
            figures[name].__globals__['IMAGES'] = tmp_path
            figures[name]()
    plt.close('all')
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert len(drawn) == len(names) and all((ROOT / 'docs/images' / name).exists() for name in drawn)


def section(page, heading):
    """The names in the first column of the first table below a heading."""
    text = page.read_text().partition(f'## {heading}\n')[2].partition('\n## ')[0]
    return [re.findall(r'`([^`]+)`', line.split('|')[1]) for line in text.splitlines() if line.startswith('| `')]


REFERENCE = ROOT / 'docs/reference/index.md'


def test_the_reference_has_every_value_of_the_log():
    boxes = instances([[4, 4, 30, 30], [10, 12, 50, 50]], [0, 1])
    logged = {'group_loss'}
    for name in SMALL_HEADS:
        head = small_head(name)
        logged |= head.loss_by_feat(*head(features_of(name, 1, 0)), [boxes], metas(1, 64)).keys()
    pairs = {name for name in logged if name.startswith(('pairs_', 'tags_'))}
    logged = logged - pairs | {f'val/{name}' for name in pairs}
    assert {name for names in section(REFERENCE, 'Values in the log') for name in names} == logged


def test_the_reference_has_the_keys_of_the_templates_and_of_test_cfg():
    text = REFERENCE.read_text()
    template = (configs_root() / 'centernet/centernet_r18_custom.py').read_text().partition('_base_ =')[2]
    first = re.findall(r'^(\w[\w, ]*) = ', template.partition('\nmodel = ')[0], re.MULTILINE)
    listed = {key for keys in section(REFERENCE, 'Keys of a config') for key in keys}
    assert {key for key in first if not key.startswith(('val_json', 'test_json'))} <= listed
    for kind in (options.CenterDecoding, options.CornerDecoding, options.GridDecoding):
        assert '| ' + ', '.join(f'`{field.name}`' for field in dataclasses.fields(kind)) + ' |' in text
    used = set(re.findall(r'`([A-Z]\w+)`', text.partition('## Keys of a config')[2]))
    mmdet_kpheads.register()
    assert len(used) > 9 and all(name == 'None' or is_registered(name) for name in used), used


def is_registered(name):
    registries = [value for value in vars(kpheads_registry).values() if isinstance(value, Registry)]
    return any(registry.get(f'mmdet_kpheads.{name}') for registry in registries)


def test_the_check_sees_links_anchors_and_commands():
    assert LINK.findall('[a](b.md#c-d) ![e](f.jpg)') == ['b.md#c-d', 'f.jpg']
    assert anchors('# A `b` (c)!\ntext\n## D-e f') == {'a-b-c', 'd-e-f'}


def test_the_weights_that_fine_tuning_leaves_out():
    """The line of the page: AutoAssign for 3 classes from a checkpoint for COCO's 80."""
    compat.install()
    mmdet_kpheads.register()
    cfg = Config.fromfile(configs_root() / 'autoassign/autoassign_r50_custom.py').model
    cfg.backbone.init_cfg = None
    model, published = (MODELS.build(cfg | {'bbox_head': cfg.bbox_head | {'num_classes': n}}) for n in (3, 80))
    fit = load_fitting(model, published.state_dict())
    names = [name for name in model.state_dict() if not name.endswith(COUNTER)]
    initial = [name for name in names if name in fit.shapes]
    line = f'{len(names) - len(initial)} of {len(names)} weights are loaded; not loaded: {listed(initial)}'
    assert not fit.missing and line in ' '.join((ROOT / 'docs/fine_tune.md').read_text().split()), line
