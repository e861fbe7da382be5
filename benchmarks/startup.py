"""Time from a command to its answer: the help text, and the first step in the log; mmdet's script and ours.

The training is the digits demo on one feature level, so that mmdet's head fits too. mmdet's script runs through
``mmdet_kpheads.run``, which it needs without compiled ops.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmengine.config import Config

from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.data.digits import write_digits

from .contract import compared
from .steps import recipe

CONFIG, MMDET_HEAD = 'demo/centernet_digits.py', 'CenterNetHead'
IMAGES, VAL_IMAGES = 64, 8
OURS = ('-m', 'mmdet_kpheads_cli', 'train')
MMDETS = ('-m', 'mmdet_kpheads.run', str(Path(mmdet.__file__).parent / '.mim/tools/train.py'))
EVERY_STEP = ('--cfg-options', 'default_hooks.logger.interval=1')
HELP, FIRST_STEP = 'usage: ', 'Epoch(train)'


def config(mmdet_head: str | None) -> Config:
    """The demo on the finest feature level, with our head and checks or with mmdet's head."""
    cfg = recipe(CONFIG, mmdet_head)
    cfg.model.backbone.out_indices = (0,)
    cfg.model.neck.update(in_channels=cfg.model.neck.in_channels[:1], num_outs=1)
    if mmdet_head:
        del cfg.model.bbox_head.feat_level
        cfg.custom_hooks = []
    return cfg


def until(text: str, folder: Path, *arguments: str) -> None:
    """Run Python in a folder until it prints a line with a text, then end it.

    Raises:
        RuntimeError: If it ends without such a line.
    """
    path = os.pathsep.join(filter(None, (str(configs_root().parent), os.environ.get('PYTHONPATH'))))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        lines: list[str] = []
        for line in process.stdout or ():
            lines.append(line)
            if text in line:
                process.kill()
                return
    raise RuntimeError(f'no line with {text!r}: {"".join(lines[-5:])}')


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Help and training; a training takes the GPU if there is one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_digits(folder / 'data/digits', IMAGES, VAL_IMAGES)
        config(None).dump(folder / 'ours.py')
        config(MMDET_HEAD).dump(folder / 'mmdets.py')

        for what, text, ours, theirs in (
            ('train --help', HELP, ['--help'], ['--help']),
            ('train, first step in the log', FIRST_STEP, ['ours.py', *EVERY_STEP], ['mmdets.py', *EVERY_STEP]),
        ):
            calls = partial(until, text, folder, *OURS, *ours), partial(until, text, folder, *MMDETS, *theirs)
            yield compared(what, f'{IMAGES} images', *calls, device)
