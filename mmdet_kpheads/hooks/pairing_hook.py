"""Logs during validation how well the tags of a corner head pair the ground-truth corners."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor

from ..heads import CornerNetHead
from ..registry import HOOKS


@HOOKS.register_module()
class PairingHook(Hook):
    """Writes ``val/tags_within``, ``tags_between``, ``pairs_grouped`` and ``pairs_confused`` to the log.

    Two corners are paired if their tags differ by less than ``distance_threshold``. ``pairs_grouped`` should approach 1
    and ``pairs_confused`` 0. The values distinguish boxes around two objects from missing corners.

    Args:
        interval: Evaluate every n-th validation batch, each with an extra forward pass.
        gt_is_resized: Set if the pipeline loads annotations before it resizes or pads; mmdet's pipelines load them
            after.
    """

    priority = 'NORMAL'  # runs before LoggerHook

    def __init__(self, interval: int = 10, gt_is_resized: bool = False) -> None:
        self.interval = interval
        self.gt_is_resized = gt_is_resized
        self.reports: list[dict[str, Tensor]] = []

    def before_val_epoch(self, runner: Runner) -> None:
        """Discard the values of the previous validation."""
        self.reports = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any | None = None
    ) -> None:
        """Evaluate every ``interval``-th batch."""
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        head = getattr(model, 'bbox_head', None)
        if batch_idx % self.interval or not isinstance(head, CornerNetHead) or not isinstance(data_batch, Mapping):
            return
        with torch.no_grad():
            data = model.data_preprocessor(data_batch, training=False)
            samples = data['data_samples']
            instances = [self._in_input_px(sample) for sample in samples]
            features = model.extract_feat(data['inputs'])
            self.reports.append(head.pairing(features, instances, [sample.metainfo for sample in samples]))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log the means over the evaluated batches."""
        for name in self.reports[0] if self.reports else ():
            mean = torch.stack([report[name] for report in self.reports]).mean()
            runner.message_hub.update_scalar(f'val/{name}', float(mean))

    def _in_input_px(self, sample: Any) -> Any:
        """Return the ground truth of an image with boxes in pixels of the network input."""
        instances = copy(sample.gt_instances)
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        if not self.gt_is_resized and 'scale_factor' in sample:
            boxes = boxes * boxes.new_tensor(sample.scale_factor[:2]).repeat(2)
        if not self.gt_is_resized and 'border' in sample:
            top, _, left, _ = sample.border
            boxes = boxes + boxes.new_tensor([left, top, left, top])
        instances.bboxes = boxes
        return instances
