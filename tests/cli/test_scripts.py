"""The shell scripts for clusters, with a fake srun that prints its arguments."""

import itertools
import os
import subprocess

import pytest

from mmdet_kpheads.compat.config_bases import configs_root

TOOLS = configs_root().parent / 'tools'


@pytest.fixture
def srun(tmp_path):
    """Environment whose srun prints its arguments, one per line."""
    fake = tmp_path / 'srun'
    fake.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    return os.environ | {'PATH': f'{tmp_path}:{os.environ["PATH"]}'}


def called(script, environment, *arguments):
    command = ['bash', str(TOOLS / script), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout.splitlines(), result.stderr


@pytest.mark.parametrize(
    ('script', 'arguments', 'tool'),
    [
        ('slurm_train.sh', ['c.py'], ['train.py', 'c.py']),
        ('slurm_test.sh', ['c.py', 'w.pth'], ['test.py', 'c.py', 'w.pth']),
    ],
)
@pytest.mark.parametrize(('gpus', 'per_node'), [('4', '4'), ('16', '8')])
def test_one_task_per_gpu(script, arguments, tool, gpus, per_node, srun):
    code, words, _ = called(script, srun | dict(GPUS=gpus, SRUN_ARGS='--qos high'), 'gpu', 'name', *arguments, '--amp')
    options = dict(itertools.pairwise(words))
    assert code == 0
    assert options['--partition'] == 'gpu' and options['--job-name'] == 'name' and options['--qos'] == 'high'
    assert options['--ntasks'] == gpus and options['--ntasks-per-node'] == per_node
    assert options['--gres'] == f'gpu:{per_node}'
    start = words.index('-u') + 1
    assert words[start].endswith(f'/tools/{tool[0]}')
    assert words[start + 1 :] == [*tool[1:], '--launcher', 'slurm', '--amp']


@pytest.mark.parametrize(
    ('script', 'arguments', 'missing'),
    [
        ('slurm_train.sh', ['gpu', 'name'], 'CONFIG'),
        ('slurm_test.sh', ['gpu', 'name', 'c.py'], 'CHECKPOINT'),
        ('dist_train.sh', ['c.py'], 'number of processes'),
        ('dist_test.sh', ['c.py'], 'CHECKPOINT'),
    ],
)
def test_missing_argument_is_named(script, arguments, missing, srun):
    code, _, error = called(script, srun, *arguments)
    assert code != 0 and missing in error
