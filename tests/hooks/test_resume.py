"""A resumed run goes on with the random state of the training; a run of another length is warned about."""

import random
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim.scheduler import LinearLR, MultiStepLR

from mmdet_kpheads.hooks import ResumeHook, resume_hook
from mmdet_kpheads.registry import HOOKS


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


class Messages(list):
    warning = info = list.append


def runner(resume=True, max_iters=8, workers=0, schedulers=None):
    return SimpleNamespace(
        _resume=resume,
        max_iters=max_iters,
        logger=Messages(),
        param_schedulers=schedulers,
        train_dataloader=SimpleNamespace(num_workers=workers, persistent_workers=workers > 0),
    )


def saved(hook=None, max_iters=8):
    checkpoint: dict = {'meta': {}}
    (hook or ResumeHook()).before_save_checkpoint(runner(max_iters=max_iters), checkpoint)
    return checkpoint


def resumed(checkpoint, run):
    hook = HOOKS.build({'type': 'mmdet_kpheads.ResumeHook'})
    hook.after_load_checkpoint(run, checkpoint)
    draw()
    hook.before_train(run)
    return run


def test_all_random_numbers_go_on_from_a_file(tmp_path):
    torch.save(saved(), tmp_path / 'a.pth')
    expected = draw()
    resumed(torch.load(tmp_path / 'a.pth', weights_only=True), runner())
    assert draw() == expected


def test_weights_that_are_only_loaded_leave_the_random_state():
    checkpoint = saved()
    expected = draw()
    resumed(checkpoint, runner(resume=False))
    assert draw() != expected


def test_validation_leaves_the_random_state_also_in_what_it_saves():
    hook = ResumeHook()
    expected = saved(hook)
    hook.before_val(runner())
    draw()
    inside = saved(hook)
    hook.after_val(runner())
    for state in (inside, saved(hook)):
        assert str(state['random_state']) == str(expected['random_state'])


def test_each_process_gets_its_own_random_state_back(tmp_path, monkeypatch):
    """The first of three processes saves; each of them resumes."""
    module = 'mmdet_kpheads.hooks.resume_hook'
    states, expected = [], []
    for _ in range(3):
        states.append(resume_hook.random_state())
        expected.append(draw())
    resume_hook.set_random_state(states[0])
    monkeypatch.setattr(f'{module}.all_gather_object', lambda state: states)
    hook = ResumeHook()
    hook.after_train_epoch(runner())
    torch.save(saved(hook), tmp_path / 'a.pth')
    for rank in (2, 1, 0):
        monkeypatch.setattr(f'{module}.get_rank', lambda rank=rank: rank)
        resumed(torch.load(tmp_path / 'a.pth', weights_only=True), runner())
        assert draw() == expected[rank]
    monkeypatch.setattr(f'{module}.get_rank', lambda: 3)  # more processes than there were
    resumed(torch.load(tmp_path / 'a.pth', weights_only=True), runner())
    hook.before_train_epoch(runner())
    assert saved(hook)[resume_hook.OTHER_RANDOM_STATES] == []  # within an epoch they are unknown


def test_old_checkpoints_resume():
    run = resumed({'meta': {}}, runner())
    assert not run.logger


def test_persistent_workers_are_mentioned():
    assert resumed(saved(), runner(workers=2)).logger[0].startswith('resumed: the random augmentation of persistent')


def schedulers(end, milestone):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(()))], lr=0.1)
    return [LinearLR(optimizer, end=end), MultiStepLR(optimizer, [milestone])]


@pytest.mark.parametrize(
    ('length', 'end', 'milestone', 'message'),
    [
        (8, 5, 9, None),
        (16, 5, 9, 'iterations of the run 8 -> 16$'),
        (8, 6, 9, 'LinearLR total_iters 4 -> 5; LinearLR end 5 -> 6$'),
        (8, 5, 7, r'MultiStepLR milestones Counter\({9: 1}\) -> Counter\({7: 1}\)$'),
    ],
)
def test_other_schedules_are_one_warning(length, end, milestone, message):
    checkpoint = saved()
    before = schedulers(5, 9)
    before[0].last_step += 1  # progress is no difference
    checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in before]
    run = resumed(checkpoint, runner(max_iters=length, schedulers=schedulers(end, milestone)))
    assert len(run.logger) == (message is not None)
    if message:
        assert re.search(f'the learning rate may stand still. Without effect on them: {message}', run.logger[0])
