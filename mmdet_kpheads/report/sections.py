"""The parts of the report."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config

from . import figures
from .curves import Log, lines_of, loss_lines, metric_lines
from .detection_statistics import (
    f1_curve,
    reliability,
    sparse_classes,
    top_confusions,
)
from .evaluated import MATCH_IOU, SIZES
from .figures import BLUE, GRAY, GREEN, VERMILION
from .head_views import Picture, center_prior_view, see, view_of
from .judged import Judged
from .page import Captioned, Cell, Figure, Group, Part, Row, Table, jpeg_image, svg_image
from .pictures import draw_pair, worst_first

MAX_MATRIX_CLASSES = 20
MAX_CONFUSIONS = 10
MAX_VIEWS = 3
NO_VALUE = '-'
BACKGROUND = 'background'
NOTHING_FOUND = 'No detection overlaps an object of its class by 0.5 IoU: the model has not learned to detect yet.'
OTHER_CURVES = (
    ('lr', 'Learning rate', 'The schedule as it was used, warm-up included.'),
    ('grad_norm', 'Gradient norm', 'Before clipping. Rare peaks are normal; growth is a sign of divergence.'),
)
COLUMNS = (
    'class',
    'objects',
    'AP',
    'AP50',
    'AP75',
    'AP S',
    'AP M',
    'AP L',
    'threshold',
    'F1',
    'precision',
    'recall',
)


def number(value: float) -> str:
    """A metric with three decimals; a dash where it is not defined."""
    return NO_VALUE if math.isnan(value) else f'{value:.3f}'


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def plot(title: str, reading: str, svg: bytes) -> Figure:
    """A figure whose reading is also the text for those who do not see it."""
    return Figure(title, reading, svg_image(svg, f'{title}. {reading}'))


class Origin(NamedTuple):
    """Where the report comes from."""

    cfg: Config
    checkpoint: str
    meta: dict[str, Any]  # of the checkpoint
    split: str


def summary(judged: Judged, origin: Origin) -> Part:
    """The numbers that a reader looks for first."""
    evaluated, best = judged.evaluated, judged.best
    tiles = [
        ('AP, mean over IoU 0.50 to 0.95', number(evaluated.average())),
        ('AP50', number(evaluated.average(iou=0.5))),
        ('best F1 of all classes', number(best.f1 if best else float('nan'))),
        ('score threshold of the best F1', number(best.score if best else float('nan'))),
        ('images', f'{evaluated.num_images}'),
        ('objects', f'{evaluated.num_objects.sum()}'),
    ]
    facts = [('checkpoint', Path(origin.checkpoint).name), ('tested on', f'{origin.split} set of the config')]
    if 'epoch' in origin.meta:
        trained = f'{counted(origin.meta["epoch"], "epoch")}, {origin.meta.get("iter", NO_VALUE)} iterations'
        facts.insert(1, ('trained for', trained))
    if judged.is_chosen:
        facts.append(('threshold of this report', f'{judged.threshold:.3f}, chosen with --score-thr'))
    facts += [(name, number(value) if value > -1 else NO_VALUE) for name, value in evaluated.metrics.items()]
    note = '' if best else NOTHING_FOUND
    return Part('summary', 'Summary', note=note, tiles=tiles, facts=facts)


def training(log: Log, meta: dict[str, Any]) -> Part:
    """Losses, metrics and the learning rate over time."""
    if not log.train:
        note = 'The work dir has no scalars.json with training steps, so the curves are missing.'
        return Part('training', 'Training curves', note=note)
    by_epoch = 'epoch' in log.train[0]
    drawn = [
        plot(
            'Losses',
            'They should fall and then level off; a jump or a rise is a sign of a learning rate that is too high.',
            figures.draw_lines(loss_lines(log), 'iteration', 'loss', meta.get('iter')),
        )
    ]
    if metrics := metric_lines(log):
        reading = 'If they still rise at the end, train longer; if they fall while the loss falls, the model overfits.'
        mark = meta.get('epoch' if by_epoch else 'iter')
        svg = figures.draw_lines(metrics, 'epoch' if by_epoch else 'iteration', 'metric', mark)
        drawn.append(plot('Validation metrics', reading, svg))
    for key, title, reading in OTHER_CURVES:
        if lines := lines_of(log.train, [key]):
            svg = figures.draw_lines(lines, 'iteration', title.lower(), meta.get('iter'))
            drawn.append(plot(title, reading, svg))
    text = 'The dotted line marks the checkpoint of this report.' if 'iter' in meta else ''
    return Part('training', 'Training curves', text, figures=drawn)


def precision(judged: Judged) -> Part:
    """Precision and recall of each class."""
    evaluated = judged.evaluated
    curves = [
        (name, evaluated.average(index, MATCH_IOU), line)
        for index, name in enumerate(evaluated.classes)
        if (line := evaluated.recall_curve(index))
    ]
    scores, f1, *_ = f1_curve(*judged.outcomes())
    by_class = {}
    for index, name in enumerate(evaluated.classes):
        if judged.outcomes(index)[1].any():
            by_class[name] = f1_curve(*judged.outcomes(index))[:2]
    return Part(
        'precision',
        'Precision, recall and threshold',
        f'A detection is true if it overlaps an object of its class by {MATCH_IOU} IoU that no better one has taken.',
        figures=[
            plot(
                'Precision over recall',
                'Each line is a class: the further to the upper right, the better. AP50 is the area below it.',
                figures.draw_precision_recall(curves, MATCH_IOU),
            ),
            plot(
                'F1 over score threshold',
                'Use the threshold of the peak, or a higher one if false detections cost more than missed objects.',
                figures.draw_f1((scores, f1), by_class, judged.threshold),
            ),
        ],
    )


def by_class(judged: Judged) -> Part:
    """AP by class and size, and the best threshold."""
    evaluated = judged.evaluated
    rows = [class_row('all classes', None, judged)]
    present = np.flatnonzero(evaluated.num_objects)
    rows += [class_row(evaluated.classes[index], int(index), judged) for index in present]
    text = (
        'AP as in COCO: small objects are below 32 x 32 pixels, large ones above 96 x 96. The threshold is that of the '
        f'best F1 at {MATCH_IOU} IoU, with its precision and recall. A dash means that there are no such objects.'
    )
    if len(present) < len(evaluated.classes):
        text += f' {len(present)} of {len(evaluated.classes)} classes have objects and are listed.'
    truth, areas = evaluated.truth, np.array(evaluated.params.areaRng[1:])
    area = truth.area[~truth.is_crowd, None]
    counts = ((area >= areas[:, 0]) & (area <= areas[:, 1])).sum(0).tolist()
    by_size = {size: evaluated.average(size=size) for size in SIZES[1:]}
    areas_of_boxes = truth.xywh[~truth.is_crowd, 2:].prod(1), judged.found.xywh[:, 2:].prod(1)
    drawn = [
        plot(
            'AP by size',
            'Small objects are harder; a larger input size helps them most.',
            figures.draw_sizes(by_size, counts),
        ),
        plot(
            'Box sizes',
            'Where the line is below the gray bars, objects of that size are missed; above, there are false ones. '
            'Dotted: the borders of small, medium and large.',
            figures.draw_box_sizes(*areas_of_boxes),
        ),
    ]
    return Part('classes', 'AP by class and size', text, table=Table(COLUMNS, rows), figures=drawn)


def class_row(name: str, category: int | None, judged: Judged) -> Row:
    """The numbers of a class."""
    evaluated, best = judged.evaluated, judged.best_of(category)
    objects = evaluated.num_objects.sum() if category is None else evaluated.num_objects[category]
    averages = [
        evaluated.average(category),
        evaluated.average(category, 0.5),
        evaluated.average(category, 0.75),
        *(evaluated.average(category, size=size) for size in SIZES[1:]),
    ]
    cells = [Cell(number(value), None if math.isnan(value) else round(100 * value)) for value in averages]
    thresholds = [Cell(number(value)) for value in (best.score, best.f1, best.precision, best.recall)] if best else []
    return Row(name, [Cell(f'{objects}'), *cells, *(thresholds or [Cell(NO_VALUE)] * 4)])


def scores(judged: Judged) -> Part:
    """Scores and calibration."""
    score, is_true, _ = judged.outcomes()
    bins = reliability(score, is_true)
    return Part(
        'scores',
        'Scores and calibration',
        figures=[
            plot(
                'Scores',
                'A good detector gives true detections high scores and false ones low scores; the axis is logarithmic.',
                figures.draw_scores(score, is_true, judged.threshold),
            ),
            plot(
                'Calibration',
                'Points below the diagonal are overconfident, above it underconfident; numbers are detections. '
                f'Expected calibration error: {bins.error:.3f}.',
                figures.draw_reliability(bins),
            ),
        ],
    )


def confusion(judged: Judged) -> Part:
    """Which class is detected as which."""
    classes, matrix = judged.evaluated.classes, judged.matrix
    names = (*classes, BACKGROUND)
    shown = sparse_classes(matrix, MAX_MATRIX_CLASSES)
    rows = np.append(shown, len(classes))
    text = (
        f'Detections with a score of at least {judged.threshold:.3f}. Rows are objects, columns are detections; the '
        'last column counts missed objects and the last row false detections.'
    )
    if len(shown) < len(classes):
        text += f' The {len(shown)} classes with most confusions are shown.'
    svg = figures.draw_confusion(matrix[np.ix_(rows, rows)], [names[row] for row in rows])
    reading = 'A good model is dark on the diagonal; colors are shares of the objects of a class, numbers are counts.'
    pairs = top_confusions(matrix, MAX_CONFUSIONS)
    listed = [(confusion_name(row, column, classes), f'{count}') for row, column, count in pairs]
    return Part('confusion', 'Confusion', text, facts=listed, figures=[plot('Confusion matrix', reading, svg)])


def confusion_name(row: int, column: int, classes: Sequence[str]) -> str:
    """What an entry of the matrix counts."""
    if row == len(classes):
        return f'false {classes[column]}'
    return f'missed {classes[row]}' if column == len(classes) else f'{classes[row]} found as {classes[column]}'


def worst_images(judged: Judged, limit: int) -> Part:
    """The images with most errors."""
    errors, groups = judged.errors, []
    for image in worst_first(errors)[:limit]:
        name = Path(judged.evaluated.paths[image]).name
        objects, false = counted(errors.objects[image], 'object'), counted(errors.false[image], 'false detection')
        missed, confused = errors.missed[image], errors.confused[image]
        text = f'{objects}: {missed} missed, {confused} found as another class; {false}.'
        drawn = draw_pair(judged.evaluated, judged.found, judged.kinds, int(image))
        pictures = [
            Captioned(caption, jpeg_image(data, f'{caption} of {name}'))
            for caption, data in zip(('Ground truth', 'Predictions'), drawn, strict=True)
        ]
        groups.append(Group(name, text, pictures))
    wrong = int((errors.total > 0).sum())
    text = (
        f'{wrong} of {len(errors.total)} images have errors at a score of {judged.threshold:.3f}; the worst are first. '
        'False detections that look right are objects without an annotation.'
    )
    key = (('right', BLUE), ('missed or false', VERMILION), ('found as another class', GREEN), ('not counted', GRAY))
    return Part('images', 'Worst images', text, key=key, groups=groups)


def head_part(judged: Judged, model: Any, limit: int) -> Part:
    """What the head saw in the worst, a middle and the best image."""
    head = getattr(model, 'bbox_head', None)
    view, kind = view_of(head), type(head).__name__
    if not view:
        return Part('head', 'What the head saw', note=f'There is no picture for a {kind}.')
    classes = model.dataset_meta['classes']
    order = np.lexsort((judged.errors.objects, -judged.errors.total))
    order = order[judged.errors.objects[order] > 0]
    chosen = dict.fromkeys(order[[0, len(order) // 2, -1]].tolist() if len(order) else ())
    groups = []
    if prior := center_prior_view(head, classes, judged.evaluated.num_objects):
        groups.append(Group('Center prior', '', captioned([prior], 'center prior')))
    for image in list(chosen)[: min(limit, MAX_VIEWS)]:
        seen = see(model, judged.evaluated.dataset, judged.evaluated.positions[image])
        name = Path(judged.evaluated.paths[image]).name
        groups.append(
            Group(
                name,
                f'{counted(judged.errors.total[image], "error")}.',
                captioned(view(head, seen, classes, judged.threshold), name),
            )
        )
    text = (
        f'{kind}, in an image with many errors, one in the middle, and one with few, at the size of the network '
        f'input. The threshold is {judged.threshold:.3f}.'
    )
    return Part('head', 'What the head saw', text, groups=groups)


def captioned(pictures: Sequence[Picture], name: str) -> list[Captioned]:
    """Pictures of a head for the page."""
    return [Captioned(item.caption, jpeg_image(item.data, f'{item.caption} {name}')) for item in pictures]


def setup(origin: Origin, versions: Sequence[str]) -> Part:
    """Config, versions and seed."""
    seed = origin.meta.get('seed')
    trained = [f'{key}: {value}' for key, value in origin.meta.items() if key.endswith('_version') or key == 'time']
    facts = [
        ('config', str(origin.cfg.filename)),
        ('checkpoint', origin.checkpoint),
        ('seed', 'not in the checkpoint' if seed is None else f'{seed}'),
        ('trained with', ', '.join(trained) or 'not in the checkpoint'),
    ]
    details = [('Versions of this report', '\n'.join(versions)), ('Config', origin.cfg.pretty_text)]
    return Part('setup', 'Config, versions, seed', facts=facts, details=details)
