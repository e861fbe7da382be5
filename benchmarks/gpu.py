"""All that a card has to show: ``python -m benchmarks.gpu [--dry-run]`` (``make gpu``).

The tests that need CUDA, the benchmark suite and the demo, each in a process of its own, so that one that fails leaves
the others. Writes ``gpu_report.json`` and ``gpu_report.md`` into ``results/gpu``, and prints the goals.

``--dry-run`` goes the same way on the CPU with one call of each benchmark and the short demo: what it measures means
nothing, but nothing except the card is new on the day.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

from .contract import HERE, RESULTS, cells, machine, markdown
from .goals import CUDA_COLUMNS, against_cuda_goals

ROOT = HERE.parent
SUITE = ('heads', 'steps', 'kernels', 'compiled')
DRY_SUITE = ('compiled',)  # the smallest; every benchmark runs alone on a CPU with make bench
MINUTES = {'tests': 6, 'benchmarks': 10, 'demo': 4}  # limits, 20 in all


def main() -> int:
    """Run everything; 1 if something failed."""
    parser = argparse.ArgumentParser(prog='python -m benchmarks.gpu', description=__doc__.split('\n\n')[0])
    parser.add_argument('--dry-run', action='store_true', help='on the CPU, with the smallest sizes')
    parser.add_argument('--out', type=Path, help='folder of the report; default benchmarks/results/gpu')
    args = parser.parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        sys.exit(
            'no CUDA device: torch.cuda.is_available() is False. To try the way on the CPU: make gpu GPU=--dry-run'
        )
    out = args.out or (Path(tempfile.mkdtemp(prefix='gpu_dry_run_')) if args.dry_run else RESULTS / 'gpu')
    report = measured(out, args.dry_run)
    write(report, out)
    return int(bool(report['failed']))


def measured(out: Path, dry_run: bool) -> dict[str, Any]:
    """The report, from every stage that ends well."""
    device = torch.device('cpu' if dry_run else 'cuda')
    report: dict[str, Any] = {'dry_run': dry_run, 'machine': machine(device), 'failed': {}, 'seconds': {}}
    stages = {'tests': tests, 'benchmarks': benchmarks, 'demo': demo}
    for name, stage in stages.items():
        print(f'== {name}: at most {MINUTES[name]} minutes', flush=True)
        start = time.monotonic()
        try:
            report[name], problem = stage(out, dry_run, start + 60 * MINUTES[name])
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            problem = str(error).splitlines()[0]
        if problem:
            report['failed'][name] = problem
            print(f'{name} failed: {problem}', flush=True)
        report['seconds'][name] = round(time.monotonic() - start)
    return report


def call(deadline: float, *arguments: str, accepted: tuple[int, ...] = (0,)) -> None:
    """Run Python until a deadline of ``time.monotonic``; its output is shown.

    Raises:
        ValueError: If its exit code is not accepted.
        subprocess.TimeoutExpired: At the deadline.
    """
    left = max(1, deadline - time.monotonic())
    code = subprocess.run([sys.executable, *arguments], cwd=ROOT, timeout=left, check=False).returncode
    if code not in accepted:
        raise ValueError(f'{" ".join(arguments[:3])} ended with exit code {code}')


def tests(out: Path, dry_run: bool, deadline: float) -> tuple[dict[str, dict[str, int]], str]:
    """How many tests that need CUDA passed, failed and were skipped, by module."""
    log = out.resolve() / 'gpu_tests.xml'
    log.parent.mkdir(parents=True, exist_ok=True)
    some_failed = 1
    call(deadline, '-m', 'pytest', '-q', '-m', 'cuda', f'--junitxml={log}', accepted=(0, some_failed))
    found: dict[str, dict[str, int]] = {}
    for case in ElementTree.parse(log).getroot().iter('testcase'):
        kinds = {child.tag for child in case}
        kind = 'failed' if kinds & {'failure', 'error'} else 'skipped' if 'skipped' in kinds else 'passed'
        module = case.get('classname', '').rpartition('.')[2]
        counts = found.setdefault(module, dict.fromkeys(('passed', 'failed', 'skipped'), 0))
        counts[kind] += 1
    log.unlink()
    failed = sum(counts['failed'] for counts in found.values())
    return found, f'{failed} tests failed' if failed else ''


def benchmarks(out: Path, dry_run: bool, deadline: float) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """Rows of each benchmark; one that fails leaves the others."""
    rows, failed = {}, []
    device = 'cpu' if dry_run else 'cuda'
    for name in DRY_SUITE if dry_run else SUITE:
        arguments = ['-m', 'benchmarks', '--device', device, '--only', name, '--results', str(out.resolve())]
        try:
            call(deadline, *arguments, *(['--quick'] if dry_run else []))
            rows[name] = json.loads((out / f'{name}_{device}.json').read_text())['rows']
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            failed.append(f'{name}: {error}')
    return rows, '; '.join(failed)


def demo(out: Path, dry_run: bool, deadline: float) -> tuple[dict[str, float], str]:
    """AP of the demo, and how long it took."""
    folder = Path(tempfile.mkdtemp(prefix='gpu_demo_'))
    start = time.monotonic()
    call(deadline, '-m', 'mmdet_kpheads', 'demo', '--folder', str(folder), *(['--quick'] if dry_run else []))
    seconds = time.monotonic() - start
    metrics: Counter = Counter()
    for path in folder.glob('work_dirs/*_test/*/*.json'):
        metrics.update(json.loads(path.read_text()))
    shutil.rmtree(folder)
    found: dict[str, float] = {
        'seconds': round(seconds),
        'AP': metrics['coco/bbox_mAP'],
        'AP50': metrics['coco/bbox_mAP_50'],
    }
    return found, ''


def write(report: dict[str, Any], out: Path) -> None:
    """Write and print the report."""
    (out / 'gpu_report.json').write_text(json.dumps(report, indent=1) + '\n')
    text = described(report)
    (out / 'gpu_report.md').write_text(text)
    print(text)
    print(f'report: {out / "gpu_report.md"} and gpu_report.json')


def described(report: dict[str, Any]) -> str:
    """The report as text."""
    host = report['machine']
    versions = ', '.join(f'{name} {version}' for name, version in host['versions'].items())
    parts = ['# Report of a GPU' if not report['dry_run'] else '# Dry run on a CPU: no figure of a GPU']
    parts.append(f'{host["device"]}, {host["copy_gb_per_s"]:.0f} GB/s copy, {versions}, commit {host["commit"]}.')
    parts += [f'**{name} failed**: {reason}' for name, reason in report['failed'].items()]
    goals = against_cuda_goals(None if report['dry_run'] else report)
    parts += ['## Goals', markdown([CUDA_COLUMNS, *goals])]
    if 'tests' in report:
        lines = [[name, *map(str, counts.values())] for name, counts in sorted(report['tests'].items())]
        parts += ['## Tests that need CUDA', markdown([['module', 'passed', 'failed', 'skipped'], *lines])]
    if 'demo' in report:
        found = report['demo']
        parts += ['## Demo', f'AP {found["AP"]:.3f}, AP50 {found["AP50"]:.3f} after {found["seconds"]} s.']
    for name, rows in report.get('benchmarks', {}).items():
        parts += [f'## {name}', markdown(cells(rows))]
    return '\n\n'.join(parts) + '\n'


if __name__ == '__main__':
    sys.exit(main())
