"""A visualizer makes its Matplotlib figure when something is drawn on it."""

import numpy as np
import pytest
from mmengine.visualization import Visualizer

from mmdet_kpheads.compat import lazy_figure
from tests.compat.processes import call

BUILD = """
import sys
import mmdet_kpheads
from mmdet_kpheads.compat import lazy_imports
with lazy_imports.deferred():
    from mmdet.visualization import DetLocalVisualizer
from mmdet_kpheads.compat import lazy_figure
lazy_figure.install()
visualizer = DetLocalVisualizer()
print('matplotlib.figure' in sys.modules)
visualizer.ax_save.axis(False)
print('matplotlib.figure' in sys.modules)
"""


def drawn(**figure):
    visualizer = Visualizer(fig_save_cfg={'frameon': False, **figure})
    visualizer.set_image(np.full((40, 60, 3), 90, np.uint8))
    visualizer.draw_bboxes(np.array([[5, 5, 30, 25]]), edge_colors='red')
    visualizer.draw_texts('one', np.array([10, 10]))
    return visualizer.get_image()


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(Visualizer, '_initialize_fig', Visualizer._initialize_fig)
    lazy_figure.install()


@pytest.mark.parametrize('figure', [{}, {'dpi': 72}])
def test_pictures_are_the_same(monkeypatch, figure):
    monkeypatch.setattr(Visualizer, '_initialize_fig', Visualizer._initialize_fig)
    expected = drawn(**figure)
    lazy_figure.install()
    found = drawn(**figure)
    assert found.shape == (40, 60, 3)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > 2
    np.testing.assert_array_equal(found, expected)


def test_install_is_safe_to_repeat(installed):
    once = Visualizer._initialize_fig
    lazy_figure.install()
    assert Visualizer._initialize_fig is once


def test_the_figure_is_made_once(installed):
    visualizer = Visualizer()
    visualizer.ax_save.set_title('kept')
    assert visualizer.fig_save.axes[0].get_title() == 'kept'
    assert visualizer.fig_save_canvas.figure.axes[0].get_title() == 'kept'


def test_matplotlib_is_imported_when_something_is_drawn():
    seen = call('-c', BUILD)
    assert seen.stdout.splitlines()[-2:] == ['False', 'True'], seen.stderr
