"""Draws ground truth and predictions while a detector is validated or tested."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmcv
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.dist import is_main_process
from mmengine.fileio import get
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from ..data.visualization import drawing_order
from ..registry import HOOKS


def in_drawing_order(sample: DetDataSample) -> DetDataSample:
    """A copy of a sample whose best prediction per object is kept, and comes last."""
    found = sample.pred_instances.cpu()
    boxes = getattr(found.bboxes, 'tensor', found.bboxes)
    order = drawing_order(boxes.numpy(), found.scores.numpy(), found.labels.numpy())
    return sample.new(pred_instances=found[order])


@HOOKS.register_module()
class DrawingHook(DetVisualizationHook):
    """Differs from mmdet's DetVisualizationHook: better boxes cover worse ones, and each object has one.

    In a validation it draws the same images each time, every ``interval``-th, for the visualization backends, and into
    ``val_out_dir`` if that is set.

    Args:
        val_out_dir: Folder for the pictures of validations, ``<image>_<epoch or iteration>.jpg``.
        options: Of DetVisualizationHook. A relative ``test_out_dir`` is in the work dir.
    """

    def __init__(self, val_out_dir: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.val_out_dir = val_out_dir
        self.seen = 0
        self.drawn: set[str] = set()

    def before_run(self, runner: Runner) -> None:
        """Draw with the visualizer of the run; mmdet's hook takes the one that was made last in the process."""
        self._visualizer = runner.visualizer

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin with the first image."""
        self.seen = 0

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Draw every ``interval``-th image."""
        for sample in outputs or ():
            if self.draw and self.seen % self.interval == 0 and is_main_process():
                self._draw_validation(runner, sample)
            self.seen += 1

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[DetDataSample] | None = None
    ) -> None:
        """Draw every image."""
        if not self.draw or not outputs:
            return
        super().after_test_iter(runner, batch_idx, data_batch, [in_drawing_order(sample) for sample in outputs])
        self.drawn.update(Path(sample.img_path).name for sample in outputs)

    def _draw_validation(self, runner: Runner, sample: DetDataSample) -> None:
        image = mmcv.imfrombytes(get(sample.img_path, backend_args=self.backend_args), channel_order='rgb')
        stem = Path(sample.img_path).stem
        step = runner.epoch if runner.log_processor.by_epoch else runner.iter
        file = Path(self.val_out_dir, f'{stem}_{step}.jpg') if self.val_out_dir else None
        self._visualizer.add_datasample(
            f'val_{stem}',
            image,
            in_drawing_order(sample),
            show=self.show,
            wait_time=self.wait_time,
            pred_score_thr=self.score_thr,
            out_file=file and str(file),
            step=step,
        )
        if not file:
            return
        self.drawn.add(file.name)
        for backend in self._visualizer._vis_backends.values():  # add_datasample writes the file or to these
            if not isinstance(backend, LocalVisBackend):
                backend.add_image(f'val_{stem}', self._visualizer.get_image(), step)
