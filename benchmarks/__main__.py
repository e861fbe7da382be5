"""The benchmark suite: ``python -m benchmarks [--device cuda] [--only heads,steps]``."""

import argparse
import importlib
import time
import warnings
from pathlib import Path

import torch

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from . import contract
from .contract import save, table

# whole jobs first
SUITE = ('startup', 'evaluation', 'steps', 'heads', 'growth', 'parts', 'kernels', 'data', 'compiled')
ALONE = ('jobs', 'deploy')  # as long as the suite; needs the extra export


def main() -> None:
    """Measure, print one table, write a JSON file for each benchmark."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks', description=__doc__)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', type=torch.device)
    parser.add_argument('--only', default=','.join(SUITE), help=f'of {", ".join((*SUITE, *ALONE))}')
    parser.add_argument('--quick', action='store_true', help='one call of each, to see that everything runs')
    parser.add_argument('--results', help='folder of the JSON files; default benchmarks/results')
    args = parser.parse_args()
    if args.quick:
        contract.ROUNDS = contract.CALLS_A_ROUND = contract.LEAST_CALLS = 1
        contract.SECONDS_A_SIDE = 0
    if args.results:
        contract.RESULTS = Path(args.results)
    names = args.only.split(',')
    if unknown := sorted(set(names) - {*SUITE, *ALONE}):
        parser.error(f'--only: unknown {unknown}; there are {", ".join((*SUITE, *ALONE))}')
    warnings.filterwarnings('ignore')
    start, rows = time.perf_counter(), []
    for name in names:
        measured = []
        for row in importlib.import_module(f'benchmarks.{name}').rows(args.device):
            measured.append(row)
            print(f'{time.perf_counter() - start:5.0f} s  {name}: {row["what"]}, {row["size"]}', flush=True)
        save(name, measured, args.device)
        rows += measured
    print(table(rows))
    print(f'{len(rows)} rows in {time.perf_counter() - start:.0f} s; JSON in {contract.RESULTS}')


if __name__ == '__main__':
    main()
