"""What --show-dir and --show write into a config, the hooks that show a run, and where its pictures are."""

import os
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from ..hooks import ProgressHook
from ..hooks.drawing_hook import DrawingHook

DRAWING_HOOK = 'mmdet_kpheads.DrawingHook'
# mmengine's default cannot draw detections
VISUALIZER = {'type': 'DetLocalVisualizer', 'vis_backends': [{'type': 'LocalVisBackend'}]}


def draw(cfg: Config, **options: Any) -> None:
    """Turn on drawing, in mmdet's order unless its hook is DetVisualizationHook.

    Args:
        cfg: Changed in place.
        options: Of the hook. Folders are relative to the current one.
    """
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    hook = hooks.setdefault('visualization', ConfigDict())
    if hook.setdefault('type', 'DetVisualizationHook') == 'DetVisualizationHook':
        hook.type = DRAWING_HOOK
    # mmengine's default visualizer cannot draw detections
    cfg.setdefault(
        'visualizer', ConfigDict(type='DetLocalVisualizer', vis_backends=[ConfigDict(type='LocalVisBackend')])
    )
    absolute = {name: os.path.abspath(value) for name, value in options.items() if name.endswith('_dir') and value}
    hook.update(draw=True, **options | absolute)


def skip_zero_counters(cfg: Config) -> None:
    """Take our log processor in the place of mmengine's."""
    processor = cfg.setdefault('log_processor', ConfigDict())
    if processor.setdefault('type', 'LogProcessor') == 'LogProcessor':
        processor.type = 'mmdet_kpheads.LogProcessor'


def show_progress(runner: Runner) -> None:
    """Register the hook for validation and test."""
    runner.register_hook(ProgressHook())


def print_pictures(runner: Runner) -> None:
    """Print how many pictures were drawn, and where they are."""
    for hook in runner.hooks:
        folder = isinstance(hook, DrawingHook) and (hook.test_out_dir or hook.val_out_dir)
        if folder and hook.drawn:
            print(f'{len(hook.drawn)} pictures in {folder}')
