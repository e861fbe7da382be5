"""Matplotlib's figure of a visualizer, made when something is drawn with Matplotlib.

mmengine's ``Visualizer`` makes a figure when it is built, and every runner builds one. The import of Matplotlib for it
takes 0.4 s of a start (two cores of an AMD EPYC). mmdet's visualizer draws boxes on this figure; a training only logs.
"""

import functools
from collections.abc import Callable
from typing import Any

from mmengine.visualization import Visualizer

from .lazy_imports import Deferred

DOTS_PER_INCH = 100  # Matplotlib's default. The size in inches follows from it, so pictures do not depend on it.


class DeferredFigure(Deferred):
    """A figure whose resolution, which is read when the visualizer is built, is known before it is made."""

    def __init__(self, load: Callable[[], Any], dots_per_inch: float) -> None:
        super().__init__(load)
        self._dots_per_inch = dots_per_inch

    def get_dpi(self) -> float:
        """Dots per inch."""
        return self._dots_per_inch


def install() -> None:
    """Make visualizers without a figure until one is used. Safe to repeat."""
    make = Visualizer._initialize_fig
    if hasattr(make, '__wrapped__'):
        return

    @functools.wraps(make)
    def promise(self: Visualizer, fig_cfg: dict[str, Any]) -> tuple[Deferred, Deferred, Deferred]:
        dots = fig_cfg.get('dpi', DOTS_PER_INCH)

        @functools.cache
        def made() -> tuple[Any, Any, Any]:
            canvas, figure, axes = make(self, {**fig_cfg, 'dpi': dots})
            return canvas, figure, axes

        return Deferred(lambda: made()[0]), DeferredFigure(lambda: made()[1], dots), Deferred(lambda: made()[2])

    Visualizer._initialize_fig = promise
