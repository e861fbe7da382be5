"""Draw the comparison of heads from its stored results: python -m benchmarks.comparison_plot."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from .comparison import OURS, by_head, spread, stored
from .contract import RESULTS

IMAGE = Path(__file__).parents[1] / 'docs' / 'images' / 'comparison.png'
BLUE, ORANGE = '#0072B2', '#D55E00'  # told apart by color-blind readers


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """AP over inference speed, a panel per dataset: the mean of the seeds, bars of one standard deviation."""
    mpl.use('agg')
    from matplotlib import pyplot as plt

    groups = by_head(rows)
    names = list(dict.fromkeys(data for data, _ in groups))
    figure, axes = plt.subplots(
        1, len(names), figsize=(5 * len(names), 5), sharey=True, squeeze=False, layout='constrained'
    )
    for axis, name in zip(axes[0], names, strict=True):
        for (data, head), runs in groups.items():
            if data != name:
                continue
            aps = [100 * run['ap'] for run in runs]
            speed, ap = statistics.median(run['test_images_per_s'] for run in runs), statistics.mean(aps)
            color, marker, side = (ORANGE, 'o', 'left') if head in OURS else (BLUE, 's', 'right')
            place = {'xytext': (8, -3) if head in OURS else (-8, 6), 'textcoords': 'offset points', 'ha': side}
            axis.errorbar(speed, ap, spread(aps), color=color, marker=marker, capsize=3, linestyle='none')
            axis.annotate(head, (speed, ap), fontsize=9, **place)
        axis.set(title=name, xlabel='test images per second, one core')
        axis.margins(x=0.45)
        axis.grid(alpha=0.3)
    axes[0][0].set(ylabel='AP', ylim=(-3, None))
    for label, color, marker in (('mmdet_kpheads', ORANGE, 'o'), ('others', BLUE, 's')):
        axes[0][0].plot([], [], color=color, marker=marker, linestyle='none', label=label)
    figure.legend(loc='outside upper left', ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == '__main__':
    draw(stored(RESULTS / 'comparison_cpu.jsonl'), IMAGE)
    print(IMAGE)
