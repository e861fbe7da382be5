"""The shell scripts for several machines, with a srun, scontrol and torchrun that show how they are called."""

import itertools
import os
import subprocess

import pytest

from mmdet_kpheads.compat.config_bases import configs_root

TOOLS = configs_root().parent / 'tools'
# Runs the command once per node, as Slurm does; here both nodes are this machine.
SRUN = """
printf 'srun %s\\n' "$*" | head -n 1
until [[ $1 == bash ]]; do shift; done
export SLURM_JOB_ID=123456 SLURM_JOB_NODELIST='node[4-5]'
for ((SLURM_NODEID = 0; SLURM_NODEID < NNODES; SLURM_NODEID++)); do
    SLURM_NODEID=$SLURM_NODEID "$@" & nodes+=($!)
done
for node in "${nodes[@]}"; do wait "$node" || code=$?; done
exit "${code:-0}"
"""
SCONTROL = """
[[ $* == 'show hostnames node[4-5]' ]] && printf 'localhost\\nnode5\\n'
"""
PRINT = """
echo "torchrun $*"
"""


def with_commands(folder, **commands):
    """Environment with commands of these texts, written to a folder."""
    for name, text in commands.items():
        (folder / name).write_text(f'#!/usr/bin/env bash{text}')
        (folder / name).chmod(0o755)
    return os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'}


@pytest.fixture
def cluster(tmp_path):
    """Slurm's commands, and a torchrun that only prints its arguments."""
    return with_commands(tmp_path, srun=SRUN, scontrol=SCONTROL, torchrun=PRINT)


def called(script, environment, *arguments):
    command = ['bash', str(TOOLS / script), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return result.returncode, [line.split() for line in result.stdout.splitlines()], result.stderr


def options(words):
    return dict(itertools.pairwise(words))


def after(words, tool):
    """The words that follow the path of a tool."""
    (start,) = [index for index, word in enumerate(words) if word.endswith(f'/tools/{tool}')]
    return words[start + 1 :]


@pytest.mark.parametrize(
    ('script', 'arguments', 'tool'),
    [('dist_train.sh', ['c.py', '8'], 'train.py'), ('dist_test.sh', ['c.py', 'w.pth', '8'], 'test.py')],
)
def test_the_variables_of_mmdet_give_the_rendezvous(script, arguments, tool, cluster):
    code, (words,), _ = called(script, cluster, *arguments, '--amp')
    found = options(words)
    assert code == 0 and found['--rdzv-backend'] == 'c10d' and found['--rdzv-endpoint'] == '127.0.0.1:29500'
    assert found['--nnodes'] == '1' and found['--nproc-per-node'] == '8' and found['--max-restarts'] == '0'
    assert found['--local-addr'] == '127.0.0.1' and '--rdzv-conf' not in found
    assert after(words, tool) == [*arguments[:-1], '--launcher', 'pytorch', '--amp']
    for rank, is_host in (('0', 'is_host=1'), ('3', 'is_host=0')):
        mine = dict(
            NNODES='4', NODE_RANK=rank, MASTER_ADDR='10.0.0.1', PORT='5', MAX_RESTARTS='3', LOCAL_ADDR='10.0.0.9'
        )
        _, (words,), _ = called(script, cluster | mine, *arguments)
        found = options(words)
        assert found['--rdzv-endpoint'] == '10.0.0.1:5' and found['--rdzv-conf'] == is_host and found['--nnodes'] == '4'
        assert found['--max-restarts'] == '3' and found['--local-addr'] == '10.0.0.9'
        assert ('--resume' in words) == (tool == 'train.py')


def test_master_port_is_accepted_too_and_names_need_no_address(cluster):
    _, (words,), _ = called('dist_train.sh', cluster | dict(MASTER_PORT='7', NNODES='2', MASTER_ADDR='a'), 'c.py', '1')
    assert options(words)['--rdzv-endpoint'] == 'a:7'
    assert '--local-addr' not in words and '--rdzv-conf' not in words


@pytest.mark.parametrize(
    ('script', 'arguments', 'tool'),
    [
        ('slurm_train.sh', ['c.py'], ['train.py', 'c.py']),
        ('slurm_test.sh', ['c.py', 'w.pth'], ['test.py', 'c.py', 'w.pth']),
    ],
)
@pytest.mark.parametrize(('gpus', 'per_node', 'nodes'), [('4', '4', 1), ('16', '8', 2)])
def test_slurm_starts_one_torchrun_per_node(script, arguments, tool, gpus, per_node, nodes, cluster):
    mine = cluster | dict(GPUS=gpus, SRUN_ARGS='--qos high')
    code, (words, *torchruns), _ = called(script, mine, 'gpu', 'name', *arguments, '--amp')
    found = options(words)
    assert code == 0
    assert found['--partition'] == 'gpu' and found['--job-name'] == 'name' and found['--qos'] == 'high'
    assert found['--nodes'] == found['--ntasks'] == str(nodes) and found['--ntasks-per-node'] == '1'
    assert found['--gres'] == f'gpu:{per_node}' and found['--cpus-per-task'] == str(5 * int(per_node))
    assert len(torchruns) == nodes
    assert {options(words)['--rdzv-conf'] for words in torchruns} == {'is_host=1', 'is_host=0'} - (
        {'is_host=0'} if nodes == 1 else set()
    )
    for words in torchruns:
        found = options(words)
        assert found['--rdzv-endpoint'] == 'localhost:23456' and found['--nproc-per-node'] == per_node
        assert after(words, tool[0]) == [*tool[1:], '--launcher', 'pytorch', '--amp']


def test_slurm_resumes_and_names_gpus_that_do_not_fit(cluster):
    _, (_, words, _), _ = called('slurm_train.sh', cluster | dict(MAX_RESTARTS='2', GPUS='16'), 'gpu', 'name', 'c.py')
    assert after(words, 'train.py')[:2] == ['c.py', '--launcher'] and '--resume' in words
    code, _, error = called('slurm_train.sh', cluster | dict(GPUS='12'), 'gpu', 'name', 'c.py')
    assert code == 2 and error == 'error: GPUS=12 is not a multiple of GPUS_PER_NODE=8\n'


@pytest.mark.parametrize(
    ('script', 'arguments', 'missing'),
    [
        ('slurm_train.sh', ['gpu', 'name'], 'CONFIG'),
        ('slurm_test.sh', ['gpu', 'name', 'c.py'], 'CHECKPOINT'),
        ('dist_train.sh', ['c.py'], 'number of processes'),
        ('dist_test.sh', ['c.py'], 'CHECKPOINT'),
    ],
)
def test_missing_argument_is_named(script, arguments, missing, cluster):
    code, _, error = called(script, cluster, *arguments)
    assert code != 0 and missing in error
