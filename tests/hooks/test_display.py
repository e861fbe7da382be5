"""What is shown of a run: log lines, progress and pictures."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData

from mmdet_kpheads.hooks import LogProcessor, ProgressHook
from mmdet_kpheads.hooks.drawing_hook import in_drawing_order
from mmdet_kpheads.hooks.log_processor import ZERO_COUNTER
from mmdet_kpheads.registry import LOG_PROCESSORS


@pytest.mark.parametrize(
    ('line', 'shown'),
    [
        ('loss: 1.0000  num_dropped_boxes: 0.0000  num_bad_labels: 0', 'loss: 1.0000'),
        ('num_shared_cells: 0.0200  prior_mean: 0.0000', 'num_shared_cells: 0.0200  prior_mean: 0.0000'),
        ('loss: 0.0000  num_bad_labels: 0.0000  loss_wh: 2.0000', 'loss: 0.0000  loss_wh: 2.0000'),
        ('num_objects: 10.0000', 'num_objects: 10.0000'),
    ],
)
def test_counters_are_shown_unless_they_are_zero(line, shown):
    assert ZERO_COUNTER.sub('', line) == shown


def test_a_counter_of_one_step_shows_in_the_line_of_a_later_one():
    """Boxes dropped in one of four steps: 3 / 4 per step."""
    hub = MessageHub('counters')
    for dropped in (0.0, 3.0, 0.0, 0.0):
        hub.update_scalar('train/num_dropped_boxes', dropped)
        hub.update_scalar('train/num_bad_labels', 0.0)
        hub.update_scalar('train/lr', 0.1)
    loop = SimpleNamespace(dataloader=range(4))
    runner = SimpleNamespace(message_hub=hub, _train_loop=loop, train_loop=loop, iter=3, epoch=0, max_epochs=1)
    processor = LOG_PROCESSORS.build(dict(type='mmdet_kpheads.LogProcessor', window_size=4))
    assert isinstance(processor, LogProcessor)
    values, line = processor.get_log_after_iter(runner, 3, 'train')
    assert 'num_dropped_boxes: 0.7500' in line and 'num_bad_labels' not in line
    assert values['num_bad_labels'] == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(stream, seconds_per_step, steps):
    times = iter(np.arange(steps + 1) * seconds_per_step)
    hook = ProgressHook(stream, lambda: next(times))
    hub = MessageHub('progress')
    hub.update_info('eta', 61.5)
    runner = SimpleNamespace(message_hub=hub, val_dataloader=range(steps))
    hook.before_val_epoch(runner)
    for step in range(steps):
        hook.after_val_iter(runner, step)
    return stream.getvalue()


def test_progress_rewrites_a_line_of_a_terminal_and_removes_it():
    clear = '\r\033[K'
    assert run(Terminal(), 1, 3) == f'{clear}val [1/3]  eta: 0:01:01{clear}val [2/3]  eta: 0:01:01{clear}'


def test_progress_in_a_pipe_is_a_line_now_and_then():
    """Ten steps of 7 s: the first multiples of at least 15 s after another are 21, 42 and 63 s."""
    steps = [line.split()[1] for line in run(io.StringIO(), 7, 10).splitlines()]
    assert steps == ['[3/10]', '[6/10]', '[9/10]']
    assert run(io.StringIO(), 0.1, 10) == ''


def test_the_best_of_each_object_is_drawn_last_and_the_sample_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10.5], [20, 20, 30, 30]])
    found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.5, 0.3]), labels=torch.tensor([1, 1, 1]))
    sample = DetDataSample(pred_instances=found, metainfo=dict(img_path='a.jpg'))
    drawn = in_drawing_order(sample)
    assert drawn.pred_instances.scores.tolist() == pytest.approx([0.3, 0.9])
    assert drawn.img_path == 'a.jpg' and len(sample.pred_instances) == 3
