"""Building the runner of a training or test."""

from typing import Any

from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from .. import compat
from ..compat import shared_annotations


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, with a visualizer of its own.

    mmdet's configs name the visualizer, and under one name a second run in a process writes into the folder of the
    first. Without a name it gets that of the run.
    """
    if isinstance(cfg.get('visualizer'), dict):
        cfg.visualizer.pop('name', None)
    setup_cache_size_limit_of_dynamo()
    compat.register(init_default_scope=False)  # faster than by the runner, with all that they import
    from ..compat import image_packing, lazy_figure  # they import what register imports faster

    image_packing.install()
    lazy_figure.install()
    with compat.lazy_imports.deferred():  # for the report on the environment
        runner: Runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(ForgetAnnotations())
    return runner


class ForgetAnnotations(Hook):
    """Frees the annotation files that the check before the run has parsed, once datasets and metrics are built."""

    def before_run(self, *args: Any) -> None:
        """The loops are built."""
        shared_annotations.forget()
