"""Saves in a checkpoint what a resumed run needs to equal an undisturbed one, and restores it."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..registry import HOOKS

RANDOM_STATE = 'random_state'  # of the first process
OTHER_RANDOM_STATES = 'random_state_of_other_processes'
# What a schedule counts; the rest of its state comes from the config.
PROGRESS = {'last_step', '_global_step', '_last_value', 'base_values', 'verbose'}


def random_state() -> dict[str, Any]:
    """The random state of this process, as tensors and plain data."""
    name, key, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  transforms draw from it
    return {
        'python': random.getstate(),
        'numpy': (name, [int(word) for word in key], *rest),
        'torch': torch.get_rng_state(),
        'cuda': torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what ``random_state`` returned; the state of a GPU only on as many GPUs as there were."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    name, key, *rest = state['numpy']
    np.random.set_state((name, np.array(key, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] and len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([device.cpu() for device in state['cuda']])


def schedule_changes(saved: list[dict], config: list[Any]) -> list[str]:
    """List how the schedules of a checkpoint differ from those of the config, as ``'LinearLR end 3 -> 5'``."""
    return [
        f'{type(scheduler).__name__} {key} {before[key]} -> {value}'
        for before, scheduler in zip(saved, config, strict=False)
        for key, value in scheduler.state_dict().items()
        if key in before and key not in PROGRESS and before[key] != value
    ]


@HOOKS.register_module()
class ResumeHook(Hook):
    """Makes a resumed run equal to an undisturbed one, bit for bit on a CPU with data loaded in the main process.

    The random state (Python, NumPy, torch, CUDA) of each process of a distributed run is saved in each checkpoint and
    restored when the run is resumed. Validation leaves the random state as it was, since a resumed run does not repeat
    it. Warns if the run has another length or other schedules than the one that was interrupted: mmengine goes on with
    the schedules of the checkpoint.

    Not restored: the random state of persistent workers; in a checkpoint that is written within an epoch, that of other
    processes than the first.
    """

    def __init__(self) -> None:
        self.before_validation: dict[str, Any] | None = None
        self.others: list[dict[str, Any]] = []
        self.resumed: list[dict[str, Any]] = []

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the random state of the training, and the length of the run."""
        checkpoint[RANDOM_STATE] = self.before_validation or random_state()
        checkpoint[OTHER_RANDOM_STATES] = self.others
        checkpoint['meta']['max_iters'] = runner.max_iters

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the random state of a resumed run until its training starts, and compare the schedules."""
        if not runner._resume:
            return
        if RANDOM_STATE in checkpoint:
            self.resumed = [checkpoint[RANDOM_STATE], *checkpoint.get(OTHER_RANDOM_STATES, [])]
        self._compare_schedules(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Restore the random state."""
        states, self.resumed = self.resumed, []
        if not states:
            return
        if get_rank() < len(states):
            set_random_state(states[get_rank()])
        if runner.train_dataloader.num_workers and runner.train_dataloader.persistent_workers:
            runner.logger.info(
                'resumed: the random augmentation of persistent workers starts anew; with persistent_workers=False it '
                'is that of an undisturbed run'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Forget the random states of the epoch before."""
        self.others = []

    def after_train_epoch(self, runner: Runner) -> None:
        """Collect the random states of the other processes, since only the first one saves checkpoints."""
        self.others = all_gather_object(random_state())[1:]

    def before_val(self, runner: Runner) -> None:
        """Keep the random state of the training."""
        self.before_validation = random_state()

    def after_val(self, runner: Runner) -> None:
        """Restore the random state of the training."""
        if self.before_validation is not None:
            set_random_state(self.before_validation)
        self.before_validation = None

    def _compare_schedules(self, runner: Runner, checkpoint: dict) -> None:
        saved, config = checkpoint.get('param_schedulers'), runner.param_schedulers
        changes = schedule_changes(saved, config) if isinstance(saved, list) and isinstance(config, list) else []
        length = checkpoint['meta'].get('max_iters', runner.max_iters)
        if length != runner.max_iters:
            changes.insert(0, f'iterations of the run {length} -> {runner.max_iters}')
        if changes:
            runner.logger.warning(
                'resumed with the schedules of the checkpoint, which end where they did: the learning rate may stand '
                f'still. Without effect on them: {"; ".join(changes)}'
            )
