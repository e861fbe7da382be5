"""Reads the scalars that a training wrote, and joins those of its resumed runs."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCALARS = 'vis_data/scalars.json'
TIMES = ('time', 'data_time')
MAX_METRICS = 6
NOT_DEFINED = -1  # pycocotools' value without an object

Row = dict[str, Any]
Line = tuple[list[float], list[float]]  # steps and values


class Log(NamedTuple):
    """Rows of a training and of its validations, by rising step."""

    train: list[Row]
    val: list[Row]


def read_log(work_dir: Path) -> Log:
    """Read all scalars under a work dir; empty if there are none."""
    return join(training_logs(work_dir).values())


def training_logs(work_dir: Path) -> dict[Path, Log]:
    """File and rows of each run that made training steps, by its start; the others are tests."""
    paths = sorted(work_dir.glob(f'*/{SCALARS}'))  # folders are named by their start
    logs = {path: split_rows(path.read_text(errors='replace').splitlines()) for path in paths}
    return {path: log for path, log in logs.items() if log.train}


def split_rows(lines: Iterable[str]) -> Log:
    """Parse JSON lines; one that was cut off, and one that is not of a training or validation, is skipped."""
    log = Log([], [])
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get('step'), int):
            (log.train if 'loss' in row else log.val).append(row)
    return log


def join(logs: Iterable[Log]) -> Log:
    """Join runs in the order of their start: where a run goes back, it replaces what came before.

    A run without training rows is a test, and is left out.
    """
    train, val = list[Row](), list[Row]()
    for log in logs:
        if log.train:
            train = [row for row in train if row['step'] < log.train[0]['step']] + log.train
            first = log.val[0]['step'] if log.val else log.train[0].get('epoch', float('inf'))
            val = [row for row in val if row['step'] < first] + log.val
    return Log(train, val)


def lines_of(rows: Sequence[Row], keys: Iterable[str]) -> dict[str, Line]:
    """Steps and values of each key that has a number in a row."""
    lines: dict[str, Line] = {}
    for key in keys:
        points = [(row['step'], row[key]) for row in rows if isinstance(row.get(key), int | float)]
        if points:
            lines[key] = [step for step, _ in points], [value for _, value in points]
    return lines


def loss_lines(log: Log) -> dict[str, Line]:
    """The losses, their sum first."""
    keys = dict.fromkeys(key for row in log.train for key in row if 'loss' in key and key != 'loss')
    return lines_of(log.train, ['loss', *keys])


def metric_lines(log: Log) -> dict[str, Line]:
    """At most ``MAX_METRICS`` metrics of the validations: those named mAP or AP first."""
    rows = [{key: value for key, value in row.items() if value != NOT_DEFINED} for row in log.val]
    keys = dict.fromkeys(key for row in rows for key in row if key not in (*TIMES, 'step'))
    lines = lines_of(rows, sorted(keys, key=lambda key: 'AP' not in key))
    return dict(list(lines.items())[:MAX_METRICS])
