"""Two hosts, as two network namespaces with an address each, run the commands of docs/distributed.md."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from mmdet_kpheads.cli import make_digits
from tests.compat.processes import ROOT

pytestmark = pytest.mark.slow

EPOCHS = 20
CONFIG = f"""
_base_ = 'mmdet_kpheads::demo/centernet_digits.py'
custom_imports = dict(imports=['mmdet_kpheads', 'pause'])
custom_hooks = [*_base_.custom_hooks, dict(type='PauseHook')]
model = dict(test_cfg=dict(score_thr=0.0))
train_dataloader = dict(batch_size=4)
val_dataloader = dict(batch_size=4, dataset=dict(ann_file='annotations/train.json'))  # overfitted, to have a metric
val_evaluator = dict(ann_file='data/digits/annotations/train.json')
train_cfg = dict(max_epochs={EPOCHS}, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = None
auto_scale_lr = dict(enable=False)
randomness = dict(seed=3)
"""
# Iteration 23 is the second of two in epoch 12.
PAUSE = """
import os, pathlib, time
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
@HOOKS.register_module()
class PauseHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        while runner.iter == 23 and os.path.exists('pause'):
            pathlib.Path('paused_' + os.environ['RANK']).touch()
            time.sleep(0.05)
"""


def ip(*words):
    return subprocess.run(['ip', *words], capture_output=True, text=True, check=True).stdout


def commands():
    """The two commands in docs/distributed.md."""
    page = (ROOT / 'docs/distributed.md').read_text()
    found = re.findall(r'^NNODES=2 NODE_RANK=.*', page, re.MULTILINE)
    assert len(found) == 2
    return [line.replace('my_config.py 8', 'two_hosts.py 1') for line in found]


class Host(NamedTuple):
    """A network namespace, and the command that trains in it."""

    name: str
    command: str

    def train(self, folder, work_dir, restarts):
        """Start training; the output is appended to a file."""
        command = self.command.replace('my_work_dir', work_dir).replace('MAX_RESTARTS=3', f'MAX_RESTARTS={restarts}')
        assert f'--work-dir {work_dir}' in command and f'MAX_RESTARTS={restarts}' in command
        with (folder / f'{self.name}_{work_dir}.log').open('a') as log:
            return subprocess.Popen(
                ['ip', 'netns', 'exec', self.name, 'bash', '-c', f'exec env {command}'],
                cwd=folder,
                env=environment(folder) | {'GLOO_SOCKET_IFNAME': 'eth0'},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def log(self, folder, work_dir):
        return (folder / f'{self.name}_{work_dir}.log').read_text()

    def kill(self, all_processes=True):
        """Kill torchrun and what it started, or only the latter."""
        for pid in map(int, ip('netns', 'pids', self.name).split()):
            if all_processes or b'torchrun' not in Path(f'/proc/{pid}/cmdline').read_bytes():
                os.kill(pid, signal.SIGKILL)


def environment(folder):
    return os.environ | {
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': f'{ROOT}:{folder}',
        'OMP_NUM_THREADS': '1',
    }


@pytest.fixture(scope='module')
def hosts():
    """Two hosts with the addresses 10.77.0.1 and 10.77.0.2, connected by a virtual cable."""
    names = [f'host{number}_{os.getpid()}' for number in (1, 2)]
    made = []
    try:
        for name in names:
            ip('netns', 'add', name)
            made.append(name)
        ip('link', 'add', 'eth0', 'netns', names[0], 'type', 'veth', 'peer', 'name', 'eth0', 'netns', names[1])
        for number, name in enumerate(names, 1):
            ip('-n', name, 'address', 'add', f'10.77.0.{number}/24', 'dev', 'eth0')
            for device in ('eth0', 'lo'):
                ip('-n', name, 'link', 'set', device, 'up')
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        for name in made:
            ip('netns', 'delete', name)
        pytest.skip(f'network namespaces cannot be made: {error}')
    found = [Host(name, command) for name, command in zip(names, commands(), strict=True)]
    yield found
    for host in found:
        host.kill()
        ip('netns', 'delete', host.name)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """What both hosts share: data, config, scripts; and in ``one`` the undisturbed run of two processes on one host."""
    pytest.importorskip('sklearn')
    path = tmp_path_factory.mktemp('shared')
    make_digits.main([str(path / 'data/digits'), '--num-train', '16', '--num-val', '1', '--size', '64'])
    (path / 'two_hosts.py').write_text(CONFIG)
    (path / 'pause.py').write_text(PAUSE)
    (path / 'tools').symlink_to(ROOT / 'tools')
    command = ['tools/dist_train.sh', 'two_hosts.py', '2', '--work-dir', 'one']
    variables = environment(path) | {'PORT': '29731'}
    subprocess.run(command, cwd=path, env=variables, capture_output=True, check=True, timeout=300)
    return path


@pytest.fixture(autouse=True)
def nothing_left(hosts, folder):
    """End what a failed test has left running, and remove the logs."""
    yield
    for host in hosts:
        host.kill()
    for log in folder.glob('*.log'):
        log.unlink()


@pytest.fixture
def paused(folder):
    """Hold every process in the middle of an epoch. The function that is given waits for that."""
    pause, marks = folder / 'pause', [folder / 'paused_0', folder / 'paused_1']
    pause.touch()

    def wait():
        deadline = time.monotonic() + 240
        while not all(mark.exists() for mark in marks):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return pause

    yield wait
    for path in (pause, *marks):
        path.unlink(missing_ok=True)


def result(folder, work_dir):
    """The last metric and the weights of a run."""
    logs = sorted((folder / work_dir).glob('*/vis_data/scalars.json'))
    metrics = [
        entry for log in logs for line in log.read_text().splitlines() if 'coco/bbox_mAP' in (entry := json.loads(line))
    ]
    weights = torch.load(folder / work_dir / f'epoch_{EPOCHS}.pth', weights_only=True)['state_dict']
    return metrics[-1]['coco/bbox_mAP'], weights


def assert_as_one_host(folder, work_dir):
    (metric, weights), (expected, expected_weights) = result(folder, work_dir), result(folder, 'one')
    assert metric == expected > 0.1
    for name, value in expected_weights.items():
        assert torch.equal(weights[name], value), name
    shutil.rmtree(folder / work_dir)


def test_two_hosts_train_as_one(hosts, folder):
    runs = [host.train(folder, 'two', restarts=0) for host in hosts]
    assert [run.wait(300) for run in runs] == [0, 0], hosts[1].log(folder, 'two')[-3000:]
    assert_as_one_host(folder, 'two')


@pytest.mark.parametrize('whole_host', [False, True], ids=['processes', 'host'])
def test_a_job_comes_back_after_one_host_is_killed(whole_host, hosts, folder, paused):
    """Where torchrun is killed too, its host runs the same command again."""
    first, second = hosts
    runs = [host.train(folder, 'killed', restarts=3) for host in hosts]
    pause = paused()
    second.kill(all_processes=whole_host)
    pause.unlink()
    if whole_host:
        assert runs[1].wait(20) == -signal.SIGKILL
        runs[1] = second.train(folder, 'killed', restarts=3)
    assert [run.wait(300) for run in runs] == [0, 0], first.log(folder, 'killed')[-3000:]
    assert re.search(
        r'^error: another process ended.*epoch_11\.pth; go on with', first.log(folder, 'killed'), re.MULTILINE
    )
    assert any('resume: killed/epoch_11.pth' in host.log(folder, 'killed') for host in hosts)  # where process 0 is
    assert_as_one_host(folder, 'killed')


def test_a_cut_link_ends_in_a_message_on_both_hosts(hosts, folder, paused):
    for host in hosts:  # as docs/distributed.md recommends; torchrun alone waits for the kernel to give up
        subprocess.run(['ip', 'netns', 'exec', host.name, 'sysctl', '-w', 'net.ipv4.tcp_retries2=5'], check=True)
    config = (folder / 'two_hosts.py').read_text()
    (folder / 'two_hosts.py').write_text(f'{config}\nenv_cfg = dict(dist_cfg=dict(timeout=10))\n')
    runs = [host.train(folder, 'cut', restarts=0) for host in hosts]
    pause = paused()
    ip('-n', hosts[0].name, 'link', 'set', 'eth0', 'down')
    pause.unlink()
    assert all(run.wait(240) for run in runs)
    for host in hosts:
        line = r'^error: another process did not answer within 10 s, .* env_cfg\.dist_cfg\.timeout.*: cut/epoch_11\.pth'
        assert re.search(line, host.log(folder, 'cut'), re.MULTILINE)
