"""Draw the comparison of heads from its stored results: python -m benchmarks.comparison_plot."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.transforms import Bbox

from .comparison import OURS, by_head, spread, stored
from .contract import RESULTS

IMAGE = Path(__file__).parents[1] / 'docs' / 'images' / 'comparison.png'
MARKER = 5  # half of its width in pixels
PLACES = (  # of a name, the first that is free: end of the error bar, alignment, offset in points
    (0, 'left', (7, -3)),
    (0, 'right', (-7, -3)),
    (1, 'center', (0, 5)),
    (-1, 'center', (0, -13)),
    (1, 'right', (-3, 5)),
    (-1, 'right', (-3, -13)),
    (1, 'left', (3, 5)),
    (-1, 'left', (3, -13)),
)
BLUE, ORANGE = '#0072B2', '#D55E00'  # told apart by color-blind readers


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """AP over inference speed, a panel per dataset: the mean of the seeds, bars of one standard deviation."""
    mpl.use('agg')
    from matplotlib import pyplot as plt

    groups = by_head(rows)
    names = list(dict.fromkeys(data for data, _ in groups))
    figure, axes = plt.subplots(
        1, len(names), figsize=(5 * len(names), 5), sharey=True, squeeze=False, layout='constrained', dpi=110
    )
    points: dict[str, dict[str, tuple[float, float, float]]] = {name: {} for name in names}
    for (name, head), runs in groups.items():
        aps = [100 * run['ap'] for run in runs]
        speed = statistics.median(run['test_images_per_s'] for run in runs)
        points[name][head] = (speed, statistics.mean(aps), spread(aps))
    for axis, name in zip(axes[0], names, strict=True):
        for head, (speed, ap, deviation) in points[name].items():
            color, marker = (ORANGE, 'o') if head in OURS else (BLUE, 's')
            axis.errorbar(speed, ap, deviation, color=color, marker=marker, capsize=3, linestyle='none')
        axis.set(title=name, xlabel='test images per second, one core')
        axis.margins(x=0.4)
        axis.grid(alpha=0.3)
    axes[0][0].set(ylabel='AP', ylim=(-3, None))
    for label, color, marker in (('mmdet_kpheads', ORANGE, 'o'), ('others', BLUE, 's')):
        axes[0][0].plot([], [], color=color, marker=marker, linestyle='none', label=label)
    figure.legend(loc='outside upper left', ncols=2, frameon=False)
    figure.canvas.draw()  # places the axes
    for axis, name in zip(axes[0], names, strict=True):
        write_names(axis, points[name])
    figure.savefig(path, dpi=figure.dpi)
    plt.close(figure)


def write_names(axis: Any, points: Mapping[str, tuple[float, float, float]]) -> None:
    """Write each name beside its point, where it covers no other name and no point."""
    taken = []
    for x, y, deviation in points.values():
        corners = axis.transData.transform([(x, y - deviation), (x, y + deviation)])
        taken.append(Bbox(corners).padded(MARKER))
    for name, (x, y, deviation) in points.items():
        text = axis.annotate(name, (x, y), (0, 0), fontsize=9, textcoords='offset points')
        text.set_in_layout(False)
        for end, side, offset in PLACES:
            text.xy, text.xyann = (x, y + end * deviation), offset
            text.set_horizontalalignment(side)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


if __name__ == '__main__':
    draw(stored(RESULTS / 'comparison_cpu.jsonl'), IMAGE)
    print(IMAGE)
