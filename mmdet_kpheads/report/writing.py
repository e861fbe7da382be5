"""Writes the report of a training."""

import textwrap
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from ..cli.doctor import versions
from ..cli.test import format_only
from ..compat.config_bases import find_config
from ..data.check import require_readable
from ..errors import InputError
from ..inference import load_model
from ..version import __version__
from . import sections
from .curves import read_log
from .evaluated import evaluate
from .judged import Judged
from .page import render
from .run_folder import find_run_checkpoint, find_run_config

SPLITS = ('test', 'val')
REPORT = 'report.html'


def write_report(
    work_dir: Path | str,
    out: Path | str | None = None,
    config: Config | Path | str | None = None,
    checkpoint: str | None = None,
    split: str | None = None,
    max_images: int = 8,
    score_thr: float | None = None,
    device: str | None = None,
    batch_size: int | None = None,
) -> Path:
    """Test a trained detector and write one HTML file about it, which needs no network.

    Args:
        work_dir: Of the training.
        out: The file; None for ``report.html`` in the work dir.
        config: A config, its path, or the name of one of ours; None for the one in the work dir.
        checkpoint: Path; None for the best one in the work dir, or else the newest.
        split: ``'test'`` or ``'val'``; None for the first of them that the config has.
        max_images: Most of the worst images to draw.
        score_thr: Lowest score in the confusion matrix and the pictures; None for that of the best F1.
        device: Name of a device; None for a GPU if there is one.
        batch_size: Images per batch; None for that of the config.

    Returns:
        Path of the file.

    Raises:
        InputError: If the work dir, its config, its checkpoint or the dataset is missing or cannot be used.
        FileNotFoundError: If the named checkpoint does not exist.

    Example:
        >>> write_report('work_dirs/my_config')  # doctest: +SKIP
        PosixPath('work_dirs/my_config/report.html')
    """
    work_dir = Path(work_dir)
    if config is None:
        config = find_run_config(work_dir)
    elif not work_dir.is_dir():
        raise InputError(f'work dir not found: {work_dir}')
    cfg = deepcopy(config) if isinstance(config, Config) else Config.fromfile(find_config(config))
    cfg.work_dir = str(work_dir)
    split = chosen_split(cfg, split)
    path = Path(out or work_dir / REPORT)
    if path.is_dir():
        raise InputError(f'--out: {path} is a folder: name a file')
    checkpoint = checkpoint or find_run_checkpoint(cfg)
    require_readable(cfg[f'{split}_dataloader'].dataset)
    model: Any = load_model(cfg, checkpoint, device)
    judged = Judged(evaluate(cfg, model, split, batch_size), score_thr)
    meta = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu', logger='silent').get('meta') or {}
    origin = sections.Origin(cfg, checkpoint, meta, split)
    parts = [
        sections.summary(judged, origin),
        sections.training(read_log(work_dir), meta),
        sections.precision(judged),
        sections.by_class(judged),
        sections.scores(judged),
        sections.confusion(judged),
        sections.worst_images(judged, max_images),
        sections.head_part(judged, model, max_images),
        sections.setup(origin, [f'mmdet_kpheads {__version__}', *versions()]),
    ]
    head = type(getattr(model, 'bbox_head', model)).__name__
    classes = textwrap.shorten(', '.join(model.dataset_meta['classes']), 120, placeholder=' ...')
    subtitle = f'{head}, {len(model.dataset_meta["classes"])} classes: {classes}'
    footer = f'Written by mmdet_kpheads {__version__} on {datetime.now():%Y-%m-%d %H:%M}.'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(work_dir.resolve().name, subtitle, parts, footer), encoding='utf-8')
    return path


def chosen_split(cfg: Config, split: str | None) -> str:
    """The split to report: what was asked for, or else the first that the config has.

    Raises:
        InputError: If the config has no dataloader and evaluator for it, or its set has no annotations.
    """
    for name in [split] if split else SPLITS:
        evaluator = cfg.get(f'{name}_evaluator')
        if cfg.get(f'{name}_dataloader') and evaluator and not format_only(evaluator):
            return name
    raise InputError(
        f'config {cfg.filename} has no dataloader with an evaluator that compares with annotations for '
        f'{split or "test or val"}'
    )
