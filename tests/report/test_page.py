"""The page and its figures, with hostile names, without a model."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mmdet_kpheads.report import figures
from mmdet_kpheads.report.page import Captioned, Cell, Figure, Group, Part, Row, Table, jpeg_image, render, svg_image
from mmdet_kpheads.report.pictures import jpeg
from tests.report.browser import Page, checked_page, seen_by_browser

PATH = '{http://www.w3.org/2000/svg}path'
HOSTILE = (
    '<script>alert(1)</script>',
    '"><img src=http://evil.example/x.png onerror=alert(1)>',
    '$\\frac{1$',
    '_hidden',
    '</style></title>',
    '{{ 7 * 7 }}{% raw %}',
    'snäcka \u87f9 \U0001f980 \u202e',
    'line\nbreak\x00',
    'x' * 300,
    '',
)


def hostile_page():
    """A page with every kind of content, all texts hostile."""
    lines = {name: ([1.0, 2.0], [1.0, float('nan')]) for name in HOSTILE}
    svg = figures.draw_lines(lines, 'iteration', 'loss', 1.0)
    matrix = np.arange(len(HOSTILE) ** 2).reshape(len(HOSTILE), -1)
    pictures = [svg_image(svg, HOSTILE[1]), svg_image(figures.draw_confusion(matrix, HOSTILE), HOSTILE[0])]
    photo = jpeg_image(jpeg(np.full((48, 64, 3), 128, np.uint8)), HOSTILE[1])
    rows = [Row(name, [Cell(name, 50), Cell(name)]) for name in HOSTILE]
    whole = Part(
        'all',
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[2],
        tiles=[(name, name) for name in HOSTILE],
        facts=[(name, name) for name in HOSTILE],
        table=Table(['class', *HOSTILE[:2]], rows),
        figures=[Figure(HOSTILE[0], HOSTILE[1], picture) for picture in pictures],
        key=[(HOSTILE[0], '#000000')],
        groups=[Group(HOSTILE[1], HOSTILE[0], [Captioned(HOSTILE[1], photo)] * 2)],
        details=[(HOSTILE[0], '\n'.join(HOSTILE))],
    )
    facts = Part('facts', 'Facts', facts=[(name, name) for name in HOSTILE])
    return render(HOSTILE[0], HOSTILE[1], [whole, facts, Part('empty', 'Nothing')], HOSTILE[4])


def test_hostile_names_are_text(tmp_path):
    path = tmp_path / 'page.html'
    path.write_text(hostile_page(), encoding='utf-8')
    page = checked_page(path)
    assert {'script', 'link'}.isdisjoint(tag for tag, _ in page.tags) and len(page.named('img')) == 4
    for name in HOSTILE:
        assert name.replace('\x00', '') in page.text.replace('\x00', '').replace('\ufffd', '')
    assert '{{ 7 * 7 }}' in page.text  # and not 49


@pytest.mark.parametrize('width', [390, 1280])
def test_browser_shows_hostile_names_and_runs_none(tmp_path, width):
    path = tmp_path / 'page.html'
    path.write_text(hostile_page(), encoding='utf-8')
    seen = seen_by_browser(path, tmp_path, width)
    assert seen['failures'] == [] and seen['scripts'] == 0
    assert seen['images'] == seen['loaded'] == 4
    assert seen['scroll'] <= seen['width'], 'the page scrolls sideways'
    assert seen['title'] == f'Report: {HOSTILE[0]}'
    assert not [request for request in seen['requests'] if not request.startswith('data:')]


def test_a_large_matrix_scrolls_by_itself(tmp_path):
    names = [f'class number {index}' for index in range(21)]
    svg = figures.draw_confusion(np.eye(21, dtype=int), names)
    images = [svg_image(svg, 'large'), svg_image(figures.draw_confusion(np.eye(4, dtype=int), names[:4]), 'small')]
    part = Part('confusion', 'Confusion', figures=[Figure('Matrix', 'Reading.', image) for image in images])
    path = tmp_path / 'page.html'
    path.write_text(render('Title', '', [part], ''), encoding='utf-8')
    classes = [attributes.get('class') for tag, attributes in checked_page(path).tags if tag == 'figure']
    assert classes == ['plot large', 'plot']
    seen = seen_by_browser(path, tmp_path, 390)
    assert seen['scroll'] <= seen['width'], 'the page scrolls sideways'


def test_the_parser_sees_tags_that_do_not_balance():
    for broken in ('<p><b></p></b>', '<p>', '</p>', '<a id=1 id=2></a>'):
        with pytest.raises(AssertionError):
            Page(broken)


@pytest.mark.parametrize('classes', [0, 1, 3, 12])
def test_figures_of_any_number_of_classes(classes):
    line = np.array([0.0, 0.5]), np.array([1.0, 0.5])
    names = [f'class {index}' for index in range(classes)]
    drawn = [
        figures.draw_precision_recall([(name, 0.1, line) for name in names], 0.5),
        figures.draw_f1(line, dict.fromkeys(names, line), 0.5),
        figures.draw_confusion(np.zeros((classes + 1, classes + 1), int), [*names, 'background']),
    ]
    assert all(svg.startswith(b'<?xml') for svg in drawn)


def test_figures_of_nothing():
    nothing = np.zeros(0)
    assert figures.draw_scores(nothing, nothing.astype(bool), 0.5)
    assert figures.draw_box_sizes(nothing, nothing)
    assert figures.draw_lines({}, 'iteration', 'loss')
    assert figures.draw_lines({'loss': ([1.0], [float('inf')])}, 'iteration', 'loss')
    assert figures.draw_sizes({'small': float('nan')}, [0])


@pytest.mark.parametrize(('number', 'below'), [(4, False), (6, True)])
def test_many_lines_are_named_below_the_axes_where_they_hide_none(number, below):
    lines = {f'metric {index}': ([0.0, 1.0], [0.1 * index, 0.5]) for index in range(number)}
    root = ElementTree.fromstring(figures.draw_lines(lines, 'epoch', 'metric', 1.0))
    parts = {node.get('id'): node for node in root.iter() if node.get('id')}
    places = [node.get('transform', '') for node in parts['legend_1'].iter()]
    names_y = [float(found[1]) for place in places if (found := re.match(r'translate\([\d.]+ ([\d.]+)\) scale', place))]
    axes_y = [float(y) for y in re.findall(r'[ML] [\d.]+ ([\d.]+)', next(parts['patch_2'].iter(PATH)).get('d'))]
    assert len(names_y) == number + 1 and (min(names_y) > max(axes_y)) == below


def test_figures_are_the_same_each_time():
    assert figures.draw_sizes({'small': 0.5}, [3]) == figures.draw_sizes({'small': 0.5}, [3])
