"""Checks the labels and boxes that reach the head during training."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..errors import InputError
from ..registry import HOOKS
from ..structures.ground_truth import IGNORE_LABEL
from .class_check_hook import heads_with_classes
from .data_samples import data_samples

BAD_LABELS = 'train/num_bad_labels'
DROPPED_BOXES = 'train/num_dropped_boxes'


@HOOKS.register_module()
class GroundTruthCheckHook(Hook):
    """Stops at labels outside the classes of the head and warns about dropped boxes.

    Labels are checked before the step, while they are on the CPU, so the check needs no host-device sync. The counts
    that a head keeps on the device (``num_bad_labels``, ``num_dropped_boxes``) are read every ``interval`` steps.

    Args:
        interval: Steps between two reads of the counts.
    """

    priority = 'BELOW_NORMAL'  # runs after RuntimeInfoHook has stored the counts in the message hub

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.heads: list[tuple[str, int]] = []

    def before_train(self, runner: Runner) -> None:
        """Find the heads and their numbers of classes."""
        self.heads = list(heads_with_classes(runner.model))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Check the labels of a batch.

        Raises:
            InputError: For a label outside [0, num_classes) other than the ignore label.
        """
        if not self.heads or not isinstance(data_batch, Mapping):
            return
        head, num_classes = min(self.heads, key=lambda item: item[1])
        for sample in data_samples(data_batch):
            if 'gt_instances' not in sample or 'labels' not in sample.gt_instances:
                continue  # semi-supervised training has such samples
            labels = sample.gt_instances.labels
            bad = labels[((labels < 0) & (labels != IGNORE_LABEL)) | (labels >= num_classes)]
            if len(bad):
                label, image = int(bad[0]), sample.get('img_path', 'no path')
                rule = f'>= num_classes {num_classes}' if label >= 0 else '< 0'
                raise InputError(
                    f'label {label} {rule} in {head}, image {image}: compare num_classes with metainfo.classes'
                )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Read the counts of the last ``interval`` steps.

        Raises:
            InputError: If the head counted labels outside its classes.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        if bad := self._count(runner, BAD_LABELS):
            raise InputError(f'{bad:g} labels outside [0, num_classes) in the last {self.interval} steps: {self.heads}')
        if dropped := self._count(runner, DROPPED_BOXES):
            runner.logger.warning(
                f'{dropped:g} boxes dropped in the last {self.interval} steps: not finite or without area inside the '
                'image; mmdet-kpheads check-dataset lists them'
            )

    def _count(self, runner: Runner, key: str) -> float:
        scalars = runner.message_hub.log_scalars
        if key not in scalars:
            return 0.0
        history, _ = scalars[key].data
        return float(sum(float(value) for value in history[-self.interval :]))
