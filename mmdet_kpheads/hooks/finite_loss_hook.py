"""Stops a run, or skips a step, whose loss or gradient is not finite."""

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ..errors import RunStoppedError
from ..registry import HOOKS
from .data_samples import data_samples


class Step(NamedTuple):
    """What is kept of a step until its flag is read."""

    iteration: int
    images: tuple[str, ...]
    losses: dict[str, Tensor]
    finite: Tensor


def image_paths(data_batch: Any) -> tuple[str, ...]:
    """The image files of a batch, as far as it names them."""
    return tuple(str(sample.get('img_path', 'no path')) for sample in data_samples(data_batch))


def gradients_are_finite(optimizer: torch.optim.Optimizer) -> Tensor | None:
    """Whether the norm of each gradient is finite, as a tensor on the device; None without gradients."""
    parameters: list[nn.Parameter] = [parameter for group in optimizer.param_groups for parameter in group['params']]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).isfinite().all() if gradients else None


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops a run at a loss or gradient that is not finite, and names the iteration and the image files.

    On the CPU, and where steps may be skipped, each step is checked before its weights change. Otherwise the flags of
    the steps stay on the device and are read every ``interval`` steps and before a checkpoint is saved: no checkpoint
    gets weights that are not finite, and the steps between need no host-device sync.

    A step that overflows under loss scaling is left to the GradScaler, which skips it; its loss is checked.

    Differs from mmdet's CheckInvalidLossHook: it also checks gradients, runs before the weights and checkpoints are
    lost, and names the images.

    Args:
        interval: Steps between two reads on a GPU.
        max_skips: How many steps in a row may be skipped, with the statistics of batch normalization as they were
            before. 0 stops at the first. More than 0 takes one host-device sync per step.
    """

    priority = 'VERY_HIGH'  # before EMA weights are updated and checkpoints are saved

    def __init__(self, interval: int = 50, max_skips: int = 0) -> None:
        self.interval = interval
        self.max_skips = max_skips
        self.skips = 0
        self.unread: list[Step] = []
        self.finite_gradients: Tensor | None = None
        self.buffers: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """Check gradients before each step of the optimizer; under loss scaling the GradScaler does."""
        wrapper: Any = runner.optim_wrapper
        if hasattr(wrapper, 'optimizer') and not hasattr(wrapper, 'loss_scaler'):
            checked = partial(self._step, wrapper.step, wrapper.optimizer)
            wrapper.step = update_wrapper(checked, wrapper.step)  # with the mark that schedules look for

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what a skipped step must not change."""
        self.finite_gradients = None
        if self.max_skips:
            self.buffers = [buffer.clone() for buffer in runner.model.buffers()]

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Check a step, or keep its flag.

        Raises:
            RunStoppedError: If the loss or the gradient of a step was not finite.
        """
        losses = {name: value.detach() for name, value in (outputs or {}).items() if 'loss' in name}
        flags = [value.isfinite().all() for name, value in losses.items() if name == 'loss']
        flags += [] if self.finite_gradients is None else [self.finite_gradients]
        if not flags:
            return
        finite = torch.stack(flags).all()
        self.unread.append(Step(runner.iter + 1, image_paths(data_batch), losses, finite))
        if self._reads_each_step(finite) or self.every_n_train_iters(runner, self.interval):
            self._read(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Read the flags before the checkpoint of the epoch. Raises as ``after_train_iter``."""
        self._read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the flags before a checkpoint is written. Raises as ``after_train_iter``."""
        self._read(runner)

    def _reads_each_step(self, flag: Tensor) -> bool:
        return bool(self.max_skips) or flag.device.type == 'cpu'

    def _step(self, step: Callable, optimizer: torch.optim.Optimizer, **options: Any) -> None:
        """Call the optimizer, unless it is known that its gradients are not finite."""
        finite = self.finite_gradients = gradients_are_finite(optimizer)
        if finite is None or not self._reads_each_step(finite) or finite:
            step(**options)

    def _read(self, runner: Runner) -> None:
        """Read all flags at once."""
        steps, self.unread = self.unread, []
        finite = torch.stack([step.finite for step in steps]).tolist() if steps else []
        for step, is_finite in zip(steps, finite, strict=True):
            self.skips = 0 if is_finite else self.skips + 1
            if self.skips > self.max_skips:
                raise RunStoppedError(f'{_fault(step)}{f", {self.skips} steps in a row" if self.max_skips else ""}')
            if not is_finite:
                self._skip(runner, step)

    def _skip(self, runner: Runner, step: Step) -> None:
        """Restore the buffers that the forward pass of a step has changed."""
        with torch.no_grad():
            for buffer, before in zip(runner.model.buffers(), self.buffers, strict=True):
                buffer.copy_(before)
        runner.logger.warning(f'step skipped: {_fault(step)}')


def _fault(step: Step) -> str:
    """Describe a step whose loss or gradient was not finite."""
    names = [name for name, value in step.losses.items() if not bool(value.isfinite().all())]
    what = ', '.join(names) if names else 'gradient'
    return f'{what} not finite at iteration {step.iteration}, images {", ".join(step.images) or "unknown"}'
