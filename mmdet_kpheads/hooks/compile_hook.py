"""Compiles backbone and neck."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles backbone and neck with ``torch.compile`` before a training or a test; the head compiles what is its own.

    The first step of each image size takes a minute or more. Checkpoints are the same: parameters keep their names.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Compile in place."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parts = [name for name in ('backbone', 'neck') if getattr(model, name, None) is not None]
        for name in parts:
            getattr(model, name).compile()
        runner.logger.info(f'compiled at the first step: {", ".join(parts) or "nothing, for want of a backbone"}')
