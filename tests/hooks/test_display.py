"""What is shown of a run: log lines, progress and pictures."""

import io
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend

from mmdet_kpheads.hooks import LogProcessor, ProgressHook
from mmdet_kpheads.hooks.drawing_hook import in_drawing_order
from mmdet_kpheads.hooks.log_processor import ZERO_COUNTER
from mmdet_kpheads.registry import HOOKS, LOG_PROCESSORS


def test_pictures_are_drawn_by_the_visualizer_of_the_run():
    """Another one may be newer, with other classes."""
    mine = DetLocalVisualizer.get_instance('mine')
    newer = DetLocalVisualizer.get_instance('newer')
    hook = HOOKS.build({'type': 'DrawingHook', 'draw': True})
    hook.before_run(SimpleNamespace(visualizer=mine))
    assert hook._visualizer is mine is not newer


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


def image_file(folder, name):
    path = folder / name
    cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
    found = InstanceData(bboxes=torch.tensor([[5.0, 5, 20, 20]]), scores=torch.tensor([0.9]), labels=torch.tensor([0]))
    return DetDataSample(pred_instances=found, gt_instances=found, metainfo=dict(img_path=str(path)))


class Backend:
    """Notes what a visualization backend gets."""

    def __init__(self):
        self.images = []

    def add_image(self, name, image, step=0):
        self.images.append((name, image.shape, step))


def validate(hook, folder, epochs, by_epoch=True):
    """Validations of four images in batches of three and one."""
    samples = [image_file(folder, f'{name}.png') for name in 'abcd']
    for epoch in epochs:
        runner = SimpleNamespace(epoch=epoch, iter=epoch * 10, log_processor=SimpleNamespace(by_epoch=by_epoch))
        hook.before_val_epoch(runner)
        hook.after_val_iter(runner, 0, None, samples[:3])
        hook.after_val_iter(runner, 1, None, samples[3:])


@pytest.fixture
def visualizer(tmp_path):
    made = DetLocalVisualizer.get_instance(str(tmp_path), save_dir=str(tmp_path / 'vis'))
    made.dataset_meta = dict(classes=('digit',), palette=[(255, 0, 0)])
    yield made
    DetLocalVisualizer._instance_dict.pop(str(tmp_path))


@pytest.mark.parametrize(('by_epoch', 'steps'), [(True, (1, 2)), (False, (10, 20))])
def test_each_validation_draws_the_same_images(by_epoch, steps, visualizer, tmp_path):
    """Images 0 and 3 of four: into the folder, and for other backends than the local one side by side."""
    backend = Backend()
    visualizer._vis_backends = {'local': LocalVisBackend(str(tmp_path / 'local')), 'other': backend}
    hook = HOOKS.build(
        dict(type='mmdet_kpheads.DrawingHook', draw=True, interval=3, val_out_dir=str(tmp_path / 'pictures'))
    )
    validate(hook, tmp_path, (1, 2), by_epoch)
    expected = {f'{name}_{step}.jpg' for name in 'ad' for step in steps}
    assert {path.name for path in (tmp_path / 'pictures').iterdir()} == hook.drawn == expected
    assert backend.images == [(f'val_{name}', (40, 80, 3), step) for step in steps for name in 'ad']
    assert not (tmp_path / 'local').exists()


def test_without_draw_nothing_is_drawn(visualizer, tmp_path):
    hook = HOOKS.build(dict(type='mmdet_kpheads.DrawingHook'))
    validate(hook, tmp_path, (1,))
    hook.after_test_iter(None, 0, None, [image_file(tmp_path, 'a.png')])
    assert not hook.drawn


def test_tensorboard_gets_the_pictures(visualizer, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    visualizer._vis_backends = {'board': TensorboardVisBackend(str(tmp_path / 'board'))}
    hook = HOOKS.build(dict(type='mmdet_kpheads.DrawingHook', draw=True, interval=3))
    validate(hook, tmp_path, (1, 2))
    visualizer.close()
    events = EventAccumulator(str(tmp_path / 'board'))
    events.Reload()
    assert events.Tags()['images'] == ['val_a', 'val_d']
    assert [event.step for event in events.Images('val_a')] == [1, 2]


def test_the_best_of_each_object_is_drawn_last_and_the_sample_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10.5], [20, 20, 30, 30]])
    found = InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.5, 0.3]), labels=torch.tensor([1, 1, 1]))
    sample = DetDataSample(pred_instances=found, metainfo=dict(img_path='a.jpg'))
    drawn = in_drawing_order(sample)
    assert drawn.pred_instances.scores.tolist() == pytest.approx([0.3, 0.9])
    assert drawn.img_path == 'a.jpg' and len(sample.pred_instances) == 3
