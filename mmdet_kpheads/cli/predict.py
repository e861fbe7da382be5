"""Detect objects in images, videos and camera streams."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import InstanceData
from rich.progress import track
from torch import nn

from mmdet_kpheads_cli.parsers import parse

from ..data.image_sources import Frame, Source, find_sources, read_frames
from ..data.prediction_files import CSV_FILE, JSON_FILE, Pictures, PredictionFiles, open_window, show
from ..data.visualization import draw_detections
from ..errors import InputError, listed
from ..inference import Predictor, load_model
from . import arguments, config_checks
from .failures import config_errors
from .speed import speed_up_model

EXIT_UNREADABLE = 1


def class_labels(names: Sequence[str] | None, classes: Sequence[str]) -> list[int]:
    """Find the labels of the classes to keep; all of them without names.

    Raises:
        InputError: If the model has no class of a name.
    """
    if unknown := [name for name in names or () if name not in classes]:
        raise InputError(
            f'--classes: the model has no {listed(unknown)}; its classes are {listed(classes, len(classes))}'
        )
    return [classes.index(name) for name in names or classes]


def batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Group frames that follow each other into lists of a size; in each, all have one shape and none is padded."""
    for _, alike in groupby(frames, lambda frame: frame.pixels is not None and frame.pixels.shape):
        while batch := list(islice(alike, size)):
            yield batch


def total_frames(sources: Sequence[Source]) -> int | None:
    """Count the frames of all sources; None with a camera."""
    counts = [source.count_frames() for source in sources]
    return None if None in counts else sum(filter(None, counts))


def make_predictor(model: nn.Module, fast: bool) -> Predictor:
    """Make the predictor, with what --fast chooses."""
    if not fast:
        return Predictor(model)
    dtype, chosen = speed_up_model(model, next(model.parameters()).device.type)
    print(f'speed: {chosen}')
    return Predictor(model, dtype)


@dataclass
class Run:
    """Predicts batch after batch, writes the detections, and counts the inputs that cannot be read."""

    predictor: Predictor
    files: PredictionFiles
    pictures: Pictures | None
    labels: Sequence[int]  # of the classes to keep
    score_thr: float
    show: bool
    unreadable: int = 0

    def process(self, batch: Sequence[Frame]) -> bool:
        """Predict a batch; returns False if the user ended the command in the window."""
        read = [(frame, frame.pixels) for frame in batch if frame.pixels is not None]
        self.skip([(frame, frame.problem) for frame in batch if frame.pixels is None])
        try:
            found = self.predictor([pixels for _, pixels in read])
        except InputError as error:  # all images of a batch have one shape
            self.skip([(frame, str(error)) for frame, _ in read])
            return True
        return all(self.write(frame, pixels, one) for (frame, pixels), one in zip(read, found, strict=True))

    def skip(self, frames: Sequence[tuple[Frame, str]]) -> None:
        """Name frames that cannot be used, with their problems."""
        self.unreadable += len(frames)
        for frame, problem in frames:
            print(f'skipped: {frame.source.name}: {problem}', file=sys.stderr)

    def write(self, frame: Frame, pixels: np.ndarray, found: InstanceData) -> bool:
        """Write and show the detections of an image; returns False if the user ended the command."""
        found = found[(found.scores >= self.score_thr) & np.isin(found.labels, self.labels)]
        self.files.add(frame, pixels.shape[:2], found)
        if not (self.pictures or self.show):
            return True
        picture = draw_detections(pixels, found.bboxes, found.scores, found.labels, self.files.classes)
        if self.pictures:
            self.pictures.write(frame, picture)
        return not self.show or show(frame, picture)


def main(argv: list[str] | None = None) -> int:
    """Predict. The exit code is 1 if an image or video cannot be read.

    Raises:
        InputError: If an argument is wrong, nothing is found, or the checkpoint does not fit the config.
    """
    args = parse('predict', argv)
    out = Path(args.out)
    sources = find_sources(args.inputs, out)
    cfg = arguments.read_config(args)
    config_checks.require_keys(cfg, 'model', 'test_dataloader')
    arguments.require_checkpoint(args.checkpoint)
    arguments.require_folder('--out', out)
    camera = any(source.is_camera for source in sources)
    # no picture of a camera waits for the next one
    size = 1 if camera else args.batch_size or cfg.test_dataloader.get('batch_size', 1)
    if args.show:
        open_window()
    with config_errors(cfg):
        model: Any = load_model(cfg, args.checkpoint, args.device)
        predictor = make_predictor(model, args.fast)
    classes = model.dataset_meta['classes']
    labels, pictures = class_labels(args.classes, classes), None if args.no_pictures else Pictures(out)
    start = time.monotonic()
    with (
        PredictionFiles(out, classes) as files,
        pictures or nullcontext(),
        suppress(KeyboardInterrupt) if camera else nullcontext(),
    ):
        run = Run(predictor, files, pictures, labels, args.score_thr, args.show)
        frames = track(read_frames(sources), 'predict', total_frames(sources))
        with config_errors(cfg, started=lambda: bool(files.images)):
            all(run.process(batch) for batch in batches(frames, size))
    images, seconds = len(files.images), time.monotonic() - start
    written = f'{JSON_FILE} and {CSV_FILE}' if args.no_pictures else f'pictures, {JSON_FILE} and {CSV_FILE}'
    unreadable = f', {run.unreadable} could not be read' if run.unreadable else ''
    print(
        f'{images} images, {len(files.annotations)} detections, {images / seconds:.1f} images per second{unreadable}; '
        f'{written} are in {out}'
    )
    return EXIT_UNREADABLE if run.unreadable else 0
