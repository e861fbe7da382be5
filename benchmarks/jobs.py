"""Whole jobs: the demo's training by mmdet's own script with mmdet's head, by ``train``, and by ``train --fast``.

Each is a process that starts from nothing, one after the other, with an evaluation after each epoch; wall time from the
start of the command. Run by itself (``python -m benchmarks --only jobs``): about a quarter of an hour.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmcv.transforms import BaseTransform
from mmdet.models.necks import FPN
from mmdet.registry import MODELS, TRANSFORMS

from mmdet_kpheads.data.digits import write_digits

from .steps import recipe

CONFIG = 'demo/centernet_digits.py'
IMAGES, VALIDATION_IMAGES = 7500, 300  # as tools/make_digits.py writes them
BATCH = 16
TARGET_AP = 0.6
PEAK_KERNEL = 3  # of mmdet's own configs, and ours
OPTIONS = ('--cfg-options', 'train_cfg.val_interval=1')
SCRIPT = Path(mmdet.__file__).parent / '.mim/tools/train.py'
ROOT = Path(__file__).parent.parent
AP = re.compile(r'coco/bbox_mAP: ([\d.]+)')
STEP = re.compile(r' time: ([\d.]+)')


@MODELS.register_module()
class FirstLevelFPN(FPN):
    """The finest map alone: mmdet's CenterNetHead takes no other, ours picks it with ``feat_level``."""

    def forward(self, inputs: Any) -> Any:
        """The first of FPN's maps."""
        return super().forward(inputs)[:1]


@TRANSFORMS.register_module()
class WholeImage(BaseTransform):
    """The border that mmdet's CenterNetHead asks for: nothing was padded."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Top, bottom, left and right of the image in the input, in pixels."""
        height, width = results['img_shape']
        return results | {'border': [0, height, 0, width]}


@dataclass
class Job:
    """What one training showed; seconds since the start of its command."""

    first_line_s: float = 0.0
    step_s: list[float] = field(default_factory=list)  # means of 50 steps, waiting for data included
    target_s: float = float('inf')
    ap: float = 0.0
    end_s: float = 0.0


def run(command: list[str], folder: Path) -> Job:
    """Run a training in a folder and read its log as it appears.

    Raises:
        RuntimeError: If it fails; with its last lines.
    """
    job, start = Job(), time.perf_counter()
    tail: list[str] = []
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    for line in process.stdout:
        tail = [*tail[-20:], line]
        if 'Epoch(train)' in line and (found := STEP.search(line)):
            job.first_line_s = job.first_line_s or time.perf_counter() - start
            job.step_s.append(float(found[1]))
        if 'Epoch(val)' in line and (found := AP.search(line)):
            job.ap = float(found[1])
            if job.ap >= TARGET_AP:
                job.target_s = min(job.target_s, time.perf_counter() - start)
    if process.wait():
        raise RuntimeError(f'{" ".join(command)} failed:\n{"".join(tail)}')
    job.end_s = time.perf_counter() - start
    return job


def mmdets_config(path: Path) -> None:
    """Write the demo's config with mmdet's head, for mmdet's script."""
    cfg = recipe(CONFIG, 'CenterNetHead')
    cfg.custom_imports = {'imports': ['mmdet_kpheads', 'benchmarks.jobs']}
    del cfg.model.bbox_head['feat_level']
    cfg.model.test_cfg.local_maximum_kernel = PEAK_KERNEL  # which mmdet's head has no default for
    cfg.model.neck.type = 'FirstLevelFPN'
    cfg.custom_hooks = []
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        *transforms, pack = loader.dataset.pipeline
        pack.meta_keys = (*pack.meta_keys, 'border')
        loader.dataset.pipeline = [*transforms, {'type': 'WholeImage'}, pack]
    cfg.dump(path)


def side(seconds: float, **more: float) -> dict[str, Any]:
    """A side of a row from one run."""
    return {'median_ms': seconds * 1e3, 'q1_ms': seconds * 1e3, 'q3_ms': seconds * 1e3, 'repeats': 1} | more


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """First line, step, time to an AP, whole training: of ours, and of ours with --fast."""
    del device  # the commands take what there is
    python = [sys.executable, '-m']
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_digits(folder / 'data/digits', IMAGES, VALIDATION_IMAGES)
        mmdets_config(folder / 'theirs.py')
        theirs = run([*python, 'mmdet_kpheads.run', str(SCRIPT), 'theirs.py', '--work-dir', 'theirs', *OPTIONS], folder)
        for name, words in (('train', []), ('train --fast', ['--fast'])):
            ours = run([*python, 'mmdet_kpheads', 'train', CONFIG, '--work-dir', 'ours', *words, *OPTIONS], folder)
            yield from compare(name, ours, theirs)


def compare(name: str, ours: Job, theirs: Job) -> Iterator[dict[str, Any]]:
    """The rows of two jobs; a target that a side did not reach is left out."""
    jobs = {'ours': ours, 'mmdet': theirs}
    steps = {key: statistics.median(job.step_s) for key, job in jobs.items()}
    yield _row(f'{name}: to the first line', {key: side(job.first_line_s) for key, job in jobs.items()})
    yield _row(f'{name}: a step', {key: side(step, images_per_s=BATCH / step) for key, step in steps.items()})
    if max(job.target_s for job in jobs.values()) < float('inf'):
        yield _row(f'{name}: to AP {TARGET_AP}', {key: side(job.target_s) for key, job in jobs.items()})
    whole = {key: side(job.end_s, ap=job.ap) for key, job in jobs.items()}
    yield _row(f'{name}: four epochs', whole)


def _row(what: str, sides: dict[str, Any]) -> dict[str, Any]:
    note = ''
    for key, form in (('images_per_s', '{:.0f} / {:.0f} images/s'), ('ap', 'AP {:.3f} / {:.3f}')):
        if key in sides['ours']:
            note = form.format(sides['ours'][key], sides['mmdet'][key])
    ratio = sides['mmdet']['median_ms'] / sides['ours']['median_ms']
    return {'what': what, 'size': f'{IMAGES} digits images', **sides, 'ratio': ratio} | ({'note': note} if note else {})
