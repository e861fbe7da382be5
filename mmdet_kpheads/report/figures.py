"""Draws the figures of the report as SVG, in colors that color-blind readers can tell apart."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from .curves import Line
from .detection_statistics import Reliability

# Wong, Points of view: Color blindness, Nature Methods 8, 2011
PALETTE = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
BLUE, VERMILION, GREEN, *_ = PALETTE
GRAY, LIGHT = '#667085', '#D0D5DD'
STYLES = ('-', '--', '-.', ':')
SIZE_IN = (4.6, 3.1)  # 442 px: legible where a phone shrinks it to 350
MAX_NAMES_INSIDE, NAME_COLUMNS = 4, 3  # more lines than these are named below the axes, in columns
MAX_COLORED = 8  # lines; of more classes the rest is gray
BINS = 20
DYNAMIC_RANGE = 20  # of losses, beyond which their axis is logarithmic
NAME_LENGTH = 22
LOW = 0.1  # share below which its label is above the point, and not below it
SIZE_BORDERS_PX = (32, 96)  # of COCO's small, medium and large
OPTIONS: dict[Any, Any] = {
    'svg.hashsalt': 'mmdet_kpheads',  # the same bytes each time
    'text.parse_math': False,  # a class may be called '$x$'
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': GRAY,
    'axes.grid': True,
    'axes.axisbelow': True,
    'grid.color': '#EAECF0',
    'xtick.color': GRAY,
    'ytick.color': GRAY,
    'legend.framealpha': 0.85,
    'legend.edgecolor': 'white',
    'legend.fontsize': 8,
    'lines.linewidth': 1.6,
}


class Plot:
    """A figure with one pair of axes; ``svg`` is set at the end of the block."""

    svg: bytes
    axes: Axes
    figure: Figure


@contextmanager
def plot(x: str, y: str, size: tuple[float, float] = SIZE_IN) -> Iterator[Plot]:
    """Make a figure; on leaving the block it is written as SVG."""
    made = Plot()
    with matplotlib.rc_context(OPTIONS), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph')  # a name in a script that the font lacks
        made.figure = Figure(size, layout='constrained')
        made.axes = made.figure.add_subplot()
        made.axes.set(xlabel=x, ylabel=y)
        yield made
        buffer = io.BytesIO()
        made.figure.savefig(buffer, format='svg', metadata={'Date': None})
        made.svg = buffer.getvalue()


def short(name: str) -> str:
    """A class name that fits into a legend, on one line."""
    text = ''.join(letter if letter.isprintable() else '?' for letter in name)
    return text if len(text) <= NAME_LENGTH else f'{text[: NAME_LENGTH - 3]}...'


def style(index: int) -> dict[str, Any]:
    """Color and dash of a line."""
    return {'color': PALETTE[index % len(PALETTE)], 'linestyle': STYLES[index // len(PALETTE) % len(STYLES)]}


def legend(axes: Axes, **options: Any) -> None:
    """Add a legend if there is something to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**options)


def draw_lines(lines: Mapping[str, Line], x: str, y: str, mark: float | None = None) -> bytes:
    """Values over steps, one line each.

    Args:
        lines: Steps and values by name.
        x: Name of the axis.
        y: Name of the axis.
        mark: A step to mark, that of the checkpoint of this report.
    """
    with plot(x, y) as made:
        for index, (name, (steps, values)) in enumerate(lines.items()):
            made.axes.plot(steps, values, label=short(name), marker='o' * (len(steps) < BINS), ms=3, **style(index))
        made.axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        every = [value for _, values in lines.values() for value in values if np.isfinite(value)]
        positive = [value for value in every if value > 0]
        if positive and max(positive) > DYNAMIC_RANGE * float(np.median(positive)) and y == 'loss':
            made.axes.set_yscale('log')
            made.axes.yaxis.set_major_formatter('{x:g}')
            made.axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        if mark is not None:
            made.axes.axvline(mark, color=GRAY, lw=1, ls=':', label='this report')
        if len(lines) > MAX_NAMES_INSIDE:
            made.figure.legend(loc='outside lower center', ncols=NAME_COLUMNS, frameon=False)
        else:
            legend(made.axes)
    return made.svg


def draw_precision_recall(curves: Sequence[tuple[str, float, tuple[ndarray, ndarray]]], iou: float) -> bytes:
    """Precision over recall of each class; of many classes the worst are in color.

    Args:
        curves: Name, AP at this IoU, recalls and precisions of each class with objects.
        iou: Of a match.
    """
    colored = sorted(range(len(curves)), key=lambda index: curves[index][1])[:MAX_COLORED]
    with plot('recall', f'precision (IoU >= {iou:g})') as made:
        for index, (_, _, (recall, precision)) in enumerate(curves):
            if index not in colored:
                made.axes.plot(recall, precision, color=LIGHT, lw=1)
        for number, index in enumerate(sorted(colored)):
            name, average, (recall, precision) = curves[index]
            made.axes.plot(recall, precision, label=f'{average:.2f}  {short(name)}', **style(number), zorder=3)
        made.axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
        title = 'AP50' if len(curves) <= MAX_COLORED else f'AP50, the {MAX_COLORED} worst classes'
        legend(made.axes, loc='lower left', title=title, alignment='left')
    return made.svg


def draw_f1(
    overall: tuple[ndarray, ndarray], by_class: Mapping[str, tuple[ndarray, ndarray]], threshold: float
) -> bytes:
    """F1 over the score threshold.

    Args:
        overall: Thresholds and F1 of all classes together.
        by_class: The same of each class.
        threshold: Of the report.
    """
    with plot('score threshold', 'F1') as made:
        for number, (name, (scores, f1)) in enumerate(by_class.items()):
            named = len(by_class) <= MAX_COLORED
            line = {**style(number), 'label': short(name)} if named else {'color': LIGHT}
            made.axes.plot(scores, f1, **line, lw=1)
        made.axes.plot(*overall, color='#000000', lw=2.4, label='all classes')
        made.axes.axvline(threshold, color=GRAY, lw=1, ls=':', label=f'threshold {threshold:.3f}')
        made.axes.set(xlim=(0, 1), ylim=(0, 1.02))
        legend(made.axes, loc='best')
    return made.svg


def draw_scores(score: ndarray, is_true: ndarray, threshold: float) -> bytes:
    """How many detections of each score are true and false."""
    edges = np.linspace(0, 1, BINS + 1)
    with plot('score', 'detections') as made:
        parts = ((score[is_true], 'true', BLUE, ''), (score[~is_true], 'false', VERMILION, '////'))
        for values, label, color, hatch in parts:
            heights = np.histogram(values, edges)[0]
            made.axes.stairs(heights, edges, color=color, lw=1.5, label=label, fill=False, hatch=hatch)
        made.axes.set_yscale('symlog', linthresh=10)  # most detections have low scores
        made.axes.yaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
        made.axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        made.axes.axvline(threshold, color=GRAY, lw=1, ls=':', label='threshold')
        made.axes.set(xlim=(0, 1), ylim=(0, None))
        legend(made.axes, loc='upper right')
    return made.svg


def draw_reliability(found: Reliability) -> bytes:
    """Share of true detections over their score, against the diagonal."""
    with plot('mean score', 'share of true detections') as made:
        made.axes.plot([0, 1], [0, 1], color=GRAY, lw=1, ls='--', label='calibrated')
        made.axes.plot(found.score, found.precision, color=BLUE, marker='o', ms=5, label='measured')
        points = zip(found.score, found.precision, found.number, strict=True)
        for index, (score, precision, count) in enumerate(points):
            if count:
                # off the rising line, and low neighbors at two heights
                offset, side = ((3, -10), 'left') if precision > LOW else ((2, 4 + index % 2 * 8), 'right')
                at = score, precision
                made.axes.annotate(f'{count}', at, offset, textcoords='offset points', ha=side, fontsize=7, color=GRAY)
        made.axes.set(xlim=(0, 1), ylim=(0, 1.02))
        legend(made.axes, loc='upper left')
    return made.svg


def draw_box_sizes(truth: ndarray, found: ndarray) -> bytes:
    """How many boxes of each size there are.

    Args:
        truth: Areas of the objects in square pixels.
        found: Areas of the detections.
    """
    sides = [np.sqrt(areas[areas > 0]) for areas in (truth, found)]
    every = np.concatenate(sides)
    low, high = (every.min(), every.max()) if len(every) else (1.0, 100.0)
    edges = np.geomspace(low / 1.01, high * 1.01, BINS + 1)
    with plot('square root of the box area in pixels', 'boxes') as made:
        made.axes.stairs(np.histogram(sides[0], edges)[0], edges, fill=True, color=LIGHT, label='ground truth')
        made.axes.stairs(np.histogram(sides[1], edges)[0], edges, color=BLUE, lw=1.8, label='detections')
        made.axes.set_xscale('log')
        for border in SIZE_BORDERS_PX:
            if low < border < high:
                made.axes.axvline(border, color=GRAY, lw=1, ls=':')
        made.axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 3)))
        made.axes.xaxis.set_major_formatter('{x:g}')
        made.axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        legend(made.axes)
    return made.svg


def draw_sizes(values: Mapping[str, float], counts: Sequence[int]) -> bytes:
    """AP by size of the objects as bars, with their number.

    Args:
        values: By name; NaN without objects.
        counts: Objects of each.
    """
    with plot('size of the objects', 'AP') as made:
        heights = [np.nan_to_num(value) for value in values.values()]
        bars = made.axes.bar(range(len(values)), heights, color=BLUE, width=0.6)
        for bar, value, count in zip(bars, values.values(), counts, strict=True):
            text = 'no objects' if np.isnan(value) else f'{value:.3f}\n{count} objects'
            at = bar.get_x() + bar.get_width() / 2, bar.get_height()
            made.axes.annotate(text, at, (0, 3), textcoords='offset points', ha='center', color=GRAY)
        made.axes.set_xticks(range(len(values)), list(values))
        made.axes.grid(axis='x', visible=False)
        made.axes.set(ylim=(0, 1.1))
    return made.svg


def draw_confusion(matrix: ndarray, names: Sequence[str]) -> bytes:
    """A confusion matrix; colors are shares of the objects of a class, numbers are counts.

    Args:
        matrix: (R, R), rows are the true class, columns the detected one, the last of each is the background.
        names: Of the rows.
    """
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    share[-1] = 0  # false detections are no objects
    side = max(SIZE_IN[1] + 0.5, 0.3 * len(names) + 1.1)
    with plot('detected as', 'ground truth', (side + 0.9, side)) as made:
        made.axes.grid(False)
        places = np.arange(len(names))
        made.axes.pcolormesh(places, places, share, cmap='Blues', vmin=0, vmax=1, shading='nearest')
        made.axes.set_aspect('equal')
        made.axes.invert_yaxis()
        labels = [short(name) for name in names]
        made.axes.set_xticks(places, labels, rotation=45, ha='right', rotation_mode='anchor')
        made.axes.set_yticks(places, labels)
        for row, column in np.argwhere(matrix > 0):
            ink = 'white' if share[row, column] > 0.5 else 'black'
            made.axes.text(column, row, f'{matrix[row, column]}', ha='center', va='center', fontsize=8, color=ink)
    return made.svg
