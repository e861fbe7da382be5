"""How the loss with backward grows with the boxes of an image, the batch and the map; slopes and a picture."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .contract import RESULTS, compared, peak_memory_mb
from .heads import autoassign_heads, centernet_heads, cornernet_heads
from .scenes import Scene, autoassign_scene, centernet_scene, cornernet_scene, training_of

BOXES = (1, 10, 100, 1000)
BATCHES = (1, 2, 4, 8)
CELLS = (64, 128, 256)


def series(
    what: str, unit: str, amounts: tuple[int, ...], scene: Callable[[int], Scene], heads: Any, device: Any, **more: bool
) -> Iterator[dict[str, Any]]:
    """A row for each amount; the last one has the exponents of the growth."""
    found = []
    for amount in amounts:
        content = scene(amount)
        steps = [training_of(heads[0], content), training_of(heads[1], content, more.get('probability', False))]
        row = compared(what, f'{amount} {unit}', *steps, device, amount=amount)
        for side, step in zip(('ours', 'mmdet'), steps, strict=True):
            content.clear()
            row[side]['peak_mb'] = peak_memory_mb(step, device)
        found.append(row)
    exponents = {side: slope([row['amount'] for row in found], [row[side]['median_ms'] for row in found])
                 for side in ('ours', 'mmdet')}  # fmt: skip
    found[-1]['grows'] = exponents
    found[-1]['note'] = f'grows as {unit.split()[0]}^{exponents["ours"]:.2f} / ^{exponents["mmdet"]:.2f}'
    yield from found


def slope(amounts: list[int], times: list[float]) -> float:
    """Exponent of the growth over the upper half of the amounts: 1 means proportional."""
    half = len(amounts) // 2
    low, high = half - 1, len(amounts) - 1
    return math.log(times[high] / times[low]) / math.log(amounts[high] / amounts[low])


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Every head by boxes; CenterNet by batch and by map too."""
    found = []
    center, corner, points = centernet_heads(), cornernet_heads(), autoassign_heads(device)
    by_boxes = (
        ('CenterNet', lambda boxes: centernet_scene(2, boxes, device), center, True),
        ('CornerNet', lambda boxes: cornernet_scene(2, boxes, device), corner, False),
        ('AutoAssign', lambda boxes: autoassign_scene(1, boxes, device, (800, 1333)), points, False),
    )
    for name, scene, heads, probability in by_boxes:
        for row in series(f'{name}, boxes', 'boxes per image', BOXES, scene, heads, device, probability=probability):
            found.append(row)
            yield row
    draw(found, device)
    for what, unit, amounts, scene in (
        ('CenterNet, batch', 'images', BATCHES, lambda images: centernet_scene(images, 20, device)),
        ('CenterNet, map', 'cells per side', CELLS, lambda cells: centernet_scene(2, 20, device, cells)),
    ):
        yield from series(what, unit, amounts, scene, center, device, probability=True)


def draw(rows: list[dict[str, Any]], device: torch.device) -> None:
    """Time and memory of each head over the boxes, beside the JSON."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row['what'] for row in rows))
    figure, axes = plt.subplots(2, len(names), figsize=(4 * len(names), 6.4), layout='constrained', sharex=True)
    for column, name in enumerate(names):
        series = [row for row in rows if row['what'] == name]
        for line, (key, unit) in enumerate((('median_ms', 'loss + backward, ms'), ('peak_mb', 'peak memory, MB'))):
            axis = axes[line][column]
            for side in ('mmdet', 'ours'):
                label = side if key != 'median_ms' else f'{side}: boxes^{series[-1]["grows"][side]:.2f}'
                values = [row[side][key] for row in series]
                axis.loglog([row['amount'] for row in series], values, marker='o', label=label)
            axis.set_ylabel(unit)
            axis.grid(alpha=0.3)
            axis.legend()
        axes[0][column].set_title(name.split(',')[0])
        axes[1][column].set_xlabel('boxes per image')
    figure.savefig(RESULTS / f'growth_{device.type}.png', dpi=110)
    plt.close(figure)
