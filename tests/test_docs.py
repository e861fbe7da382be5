"""Links, commands and targets that the Markdown pages name exist."""

import re

import pytest

import mmdet_kpheads
from mmdet_kpheads_cli.subcommands import SUMMARIES
from tests.compat.processes import ROOT

PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('benchmarks/*.md')])
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


def test_the_check_sees_links_anchors_and_commands():
    assert LINK.findall('[a](b.md#c-d) ![e](f.jpg)') == ['b.md#c-d', 'f.jpg']
    assert anchors('# A `b` (c)!\ntext\n## D-e f') == {'a-b-c', 'd-e-f'}
