"""Two processes on the CPU: training runs, and their joint evaluation equals that of one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdet_kpheads.cli import make_digits, test
from mmdet_kpheads.compat.config_bases import configs_root
from tests.cli.test_scripts import SCONTROL, SRUN, with_commands

pytest.importorskip('sklearn')

TOOLS = configs_root().parent / 'tools'
OPTIONS = ('train_cfg.max_epochs=1', 'train_dataloader.batch_size=4')


def run(script, *arguments, **variables):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    path = f'{Path(sys.executable).parent}:{variables.pop("PATH", os.environ["PATH"])}'
    environment = os.environ | dict(PATH=path, PORT=str(port), OMP_NUM_THREADS='1') | variables
    command = ['bash', str(TOOLS / script), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def figures(work_dir):
    found = json.loads(max(Path(work_dir).glob('*/*.json')).read_text())
    return {key: value for key, value in found.items() if key.startswith('coco/')}


@pytest.mark.slow
@pytest.mark.parametrize('head', ['centernet', 'cornernet', 'autoassign'])
def test_two_processes_train_and_evaluate_as_one(head, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_digits.main(['data/digits', '--num-train', '16', '--num-val', '7', '--size', '64'])
    config, all_boxes = f'demo/{head}_digits.py', ['--cfg-options', 'model.test_cfg.score_thr=0.0']
    printed = run('dist_train.sh', config, '2', '--work-dir', 'trained', '--cfg-options', *OPTIONS)
    for once in ('mmdet_kpheads ', 'train: 16 images', 'seed: ', 'next: mmdet-kpheads test '):
        assert printed.count(f'\n{once}') + printed.startswith(once) == 1, printed
    assert ', 2 processes' in printed and 'OneDL' not in printed
    checkpoint = Path('trained/last_checkpoint').read_text()
    run('dist_test.sh', config, checkpoint, '2', '--work-dir', 'two', *all_boxes)
    test.main([config, checkpoint, '--work-dir', 'one', *all_boxes])
    assert figures('two') == pytest.approx(figures('one'))
    assert figures('one')


@pytest.mark.slow
def test_two_nodes_of_slurm_train_as_two_processes(tmp_path, monkeypatch):
    """Both nodes are this machine."""
    monkeypatch.chdir(tmp_path)
    make_digits.main(['data/digits', '--num-train', '16', '--num-val', '2', '--size', '64'])
    path = with_commands(tmp_path, srun=SRUN, scontrol=SCONTROL)['PATH']
    config, options = 'demo/centernet_digits.py', ['--cfg-options', *OPTIONS]
    run('dist_train.sh', config, '2', '--work-dir', 'processes', *options)
    slurm = dict(PATH=path, GPUS='2', GPUS_PER_NODE='1', LOCAL_ADDR='127.0.0.1')
    run('slurm_train.sh', 'partition', 'name', config, '--work-dir', 'nodes', *options, **slurm)
    nodes, processes = (torch.load(f'{name}/epoch_1.pth', weights_only=True) for name in ('nodes', 'processes'))
    for name, value in processes['state_dict'].items():
        assert torch.equal(nodes['state_dict'][name], value), name
    assert len(nodes['random_state_of_other_processes']) == 1
