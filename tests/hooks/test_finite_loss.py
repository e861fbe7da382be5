"""A loss or gradient that is not finite stops the run or skips the step, and never reaches the weights or a file."""

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmdet_kpheads.errors import RunStoppedError
from mmdet_kpheads.hooks import FiniteLossHook
from mmdet_kpheads.registry import HOOKS

NAN, INFINITE = float('nan'), float('inf')


class Model(nn.Module):
    """A weight and a running mean; the loss of a batch is the weight times its number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.register_buffer('mean', torch.zeros(()))

    def train_step(self, data_batch, optim_wrapper):
        self.mean += data_batch['factor']
        loss = self.weight * data_batch['factor']
        optim_wrapper.update_params(loss * data_batch.get('gradient', 1.0))
        return {'loss': loss, 'loss_wh': loss * 1, 'num_boxes': torch.tensor(NAN)}


class Warnings:
    def __init__(self):
        self.messages = []

    def warning(self, message):
        self.messages.append(message)


class Run:
    """What the hook reads of a runner, and its steps."""

    def __init__(self, hook, **options):
        self.hook, self.model, self.iter, self.logger = hook, Model(), 0, Warnings()
        self.optim_wrapper = OptimWrapper(torch.optim.SGD(self.model.parameters(), lr=0.1), **options)
        hook.before_train(self)

    def step(self, factor, **more):
        batch = {'factor': factor, 'data_samples': [DetDataSample(metainfo={'img_path': f'{factor}.jpg'})], **more}
        self.hook.before_train_iter(self, self.iter, batch)
        outputs = self.model.train_step(batch, self.optim_wrapper)
        self.hook.after_train_iter(self, self.iter, batch, outputs)
        self.iter += 1


@pytest.mark.parametrize('clip', [None, {'max_norm': 1.0}])
@pytest.mark.parametrize('factor', [NAN, INFINITE])
def test_the_run_stops_before_the_weights_change(factor, clip):
    run = Run(FiniteLossHook(), clip_grad=clip)
    run.step(1.0)
    before = run.model.weight.item()
    with pytest.raises(RunStoppedError, match=rf'^loss, loss_wh not finite at iteration 2, images {factor}\.jpg$'):
        run.step(factor)
    assert run.model.weight.item() == before != 1


def test_images_of_all_branches_are_named():
    one, other = (DetDataSample(metainfo={'img_path': f'{name}.jpg'}) for name in 'ab')
    branches = {'sup': [one], 'unsup_teacher': [None, other], 'unsup_student': [DetDataSample()]}
    with pytest.raises(RunStoppedError, match=r'at iteration 1, images a\.jpg, b\.jpg, no path$'):
        Run(FiniteLossHook()).step(NAN, data_samples=branches)


def test_a_gradient_alone_stops_it():
    with pytest.raises(RunStoppedError, match=r'^gradient not finite at iteration 1, images 2\.0\.jpg$'):
        Run(FiniteLossHook()).step(2.0, gradient=INFINITE)


def test_steps_are_skipped_up_to_the_limit_and_leave_nothing():
    run = Run(FiniteLossHook(max_skips=2))
    for factor in (NAN, INFINITE):
        run.step(factor)
    assert run.model.weight == 1 and run.model.mean == 0
    assert run.logger.messages[0] == 'step skipped: loss, loss_wh not finite at iteration 1, images nan.jpg'
    run.step(1.0)  # counts from the beginning again
    assert run.model.weight < 1 and run.model.mean == 1
    run.step(NAN)
    run.step(NAN)
    with pytest.raises(RunStoppedError, match=r'iteration 6, images nan\.jpg, 3 steps in a row$'):
        run.step(NAN)


def on_a_gpu(monkeypatch, interval):
    """A run whose flags are not read at each step."""
    monkeypatch.setattr(FiniteLossHook, '_reads_each_step', lambda hook, flag: False)
    return Run(FiniteLossHook(interval))


def test_on_a_gpu_flags_are_read_at_the_interval(monkeypatch):
    run = on_a_gpu(monkeypatch, 3)
    run.step(1.0)
    run.step(NAN)
    with pytest.raises(RunStoppedError, match=r'iteration 2, images nan\.jpg'):
        run.step(1.0)


@pytest.mark.parametrize('call', ['after_train_epoch', 'before_save_checkpoint'])
def test_on_a_gpu_no_checkpoint_is_saved_after_it(monkeypatch, call):
    run = on_a_gpu(monkeypatch, 50)
    run.step(NAN)
    run.step(1.0)
    arguments: list[dict] = [{}] if call == 'before_save_checkpoint' else []
    with pytest.raises(RunStoppedError, match='iteration 1'):
        getattr(run.hook, call)(run, *arguments)


def test_an_overflow_is_left_to_the_scaler():
    hook = FiniteLossHook()
    run = Run(hook)
    run.optim_wrapper.loss_scaler = object()
    step = run.optim_wrapper.step = lambda **options: None
    hook.before_train(run)
    assert run.optim_wrapper.step is step
    run.step(1.0, gradient=INFINITE)
    with pytest.raises(RunStoppedError, match='loss, loss_wh not finite'):
        run.step(NAN)


def test_a_model_without_losses_or_gradients_passes():
    hook = FiniteLossHook()
    run = Run(hook)
    run.optim_wrapper.step()
    hook.after_train_iter(run, 0, None, None)
    hook.before_save_checkpoint(run, {})


def test_the_hook_is_registered_and_keeps_the_mark_of_mmengines_schedules(tmp_path):
    """A schedule wraps the step of the optimizer and warns if its mark is gone."""
    runner = Runner(
        nn.Linear(1, 1),
        str(tmp_path),
        train_dataloader={'dataset': [0], 'sampler': {'type': 'DefaultSampler'}, 'batch_size': 1},
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.1}},
        experiment_name=tmp_path.name,
    )
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.build_param_scheduler({'type': 'ConstantLR'})
    HOOKS.build({'type': 'mmdet_kpheads.FiniteLossHook'}).before_train(runner)
    assert runner.optim_wrapper.step._with_counter
