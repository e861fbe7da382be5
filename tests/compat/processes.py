"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def call(*arguments, path='', cwd=None, warnings='ignore'):
    """Run Python; the package is found from any folder, ``path`` first."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join([str(path), str(ROOT)]),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }
    return subprocess.run(
        [sys.executable, '-W', warnings, *map(str, arguments)],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def broken_stack(folder):
    """Write an ``mmdet`` into a folder that fails on import as a missing one does."""
    missing = 'raise ModuleNotFoundError("No module named \'mmdet\'", name="mmdet")'
    (folder / 'mmdet.py').write_text(missing)
    return folder
