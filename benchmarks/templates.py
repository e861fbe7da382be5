"""Settings of the templates for custom datasets, by the commands that a user types: init, train, test.

    python -m benchmarks.templates --data FOLDER --head centernet --setting 'batch 4' --seeds 0 1 \
        --cfg-options train_dataloader.batch_size=4

Each run is the small template with the number of epochs that ``init`` chooses, trained with ``--fast``; its best
checkpoint on the validation images is tested on the test images. Seconds are those of the processor.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .comparison import by_head, percent, stored
from .contract import RESULTS

ROOT = Path(__file__).parents[1]
COLUMNS = ['setting', 'head', 'AP', 'AP50', 'minutes', 'runs']


def call(folder: str, *arguments: str) -> float:
    """Run a command in a folder; returns the seconds of the processor.

    Raises:
        SystemExit: If it fails; with its last lines.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-m', 'mmdet_kpheads', *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train and test one seed."""
    with tempfile.TemporaryDirectory() as folder:
        data = str(args.data.resolve())
        call(folder, 'init', '--data', data, '--head', args.head, '--model', 'small', '--out', 'my.py')
        options = [f'randomness.seed={seed}', *args.cfg_options]
        seconds = call(folder, 'train', 'my.py', '--fast', '--cfg-options', *options)
        (best,) = (Path(folder) / 'work_dirs/my').glob('best_*.pth')
        call(folder, 'test', 'my.py', str(best), '--fast', '--work-dir', 'tested')
        (scores,) = (json.loads(path.read_text()) for path in (Path(folder) / 'tested').glob('*/*.json'))
    ap, ap50 = scores['coco/bbox_mAP'], scores['coco/bbox_mAP_50']
    return {
        'data': args.setting,
        'head': args.head,
        'seed': seed,
        'ap': ap,
        'ap50': ap50,
        'seconds': round(seconds),
        'cfg_options': args.cfg_options,
    }


def table(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    """Mean and standard deviation over the seeds: the default of each head, then its other settings, best AP first."""
    groups = {
        (head, setting != 'default', -mean(runs, 'ap'), setting): runs
        for (setting, head), runs in by_head(rows).items()
    }
    lines = []
    for (head, _, _, setting), runs in sorted(groups.items()):
        aps = [percent([run[name] for run in runs]) for name in ('ap', 'ap50')]
        lines.append([setting, head, *aps, f'{mean(runs, "seconds") / 60:.1f}', str(len(runs))])
    return lines


def mean(runs: Iterable[dict[str, Any]], name: str) -> float:
    """The mean of a value over runs."""
    return statistics.mean(run[name] for run in runs)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.templates', description=__doc__)
    parser.add_argument('--data', type=Path, required=True, help='folder with a training, a validation and a test set')
    parser.add_argument('--head', required=True, choices=['autoassign', 'centernet', 'cornernet'])
    parser.add_argument('--setting', default='default', help='its name in the table')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='the setting, as of train')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1])
    parser.add_argument('--results', type=Path, default=RESULTS / 'templates_cpu.jsonl')
    args = parser.parse_args()
    known = {(row['data'], row['head'], row['seed']) for row in stored(args.results)}
    for seed in args.seeds:
        if (args.setting, args.head, seed) not in known:
            line = json.dumps(run(args, seed))
            print(line, flush=True)
            with args.results.open('a') as file:
                file.write(line + '\n')
    print('\n'.join(' | '.join(cells) for cells in [COLUMNS, *table(stored(args.results))]))


if __name__ == '__main__':
    main()
