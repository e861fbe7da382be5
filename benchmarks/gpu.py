"""All that a card has to show: ``python -m benchmarks.gpu [--dry-run]`` (``make gpu``).

The tests that need CUDA, the benchmark suite, and a training of the demo in bfloat16, each in a process of its own, so
that one that fails leaves the others. Writes ``gpu_report.json`` and ``gpu_report.md`` into ``results/gpu``, and prints
the goals.

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

from .contract import HERE, RESULTS, cells, machine
from .goals import CUDA_COLUMNS, against_cuda_goals

ROOT = HERE.parent
SUITE = ('heads', 'steps', 'kernels', 'compiled')
DRY_SUITE = ('compiled',)  # the smallest; every benchmark runs alone on a CPU with make bench
MINUTES = {'tests': 6, 'benchmarks': 10, 'demo': 4}  # limits, 20 in all
BFLOAT16 = ('optim_wrapper.type=AmpOptimWrapper', 'optim_wrapper.dtype=bfloat16')


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
            report[name] = stage(out, device, dry_run)
            if name == 'tests' and (broken := sum(counts['failed'] for counts in report[name].values())):
                report['failed'][name] = f'{broken} tests failed'
            missing = set(SUITE) - set(report[name]) if name == 'benchmarks' and not dry_run else set()
            if missing:
                report['failed'][name] = f'no results of {sorted(missing)}'
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            report['failed'][name] = str(error).splitlines()[0]
            print(f'{name} failed: {report["failed"][name]}', flush=True)
        report['seconds'][name] = round(time.monotonic() - start)
    return report


def call(stage: str, *arguments: str, cwd: Path = ROOT, accepted: tuple[int, ...] = (0,)) -> None:
    """Run Python with a time limit; its output is shown.

    Raises:
        ValueError: If its exit code is not accepted.
        subprocess.TimeoutExpired: After the limit of the stage.
    """
    command = [sys.executable, *arguments]
    code = subprocess.run(command, cwd=cwd, timeout=60 * MINUTES[stage], check=False).returncode
    if code not in accepted:
        raise ValueError(f'{" ".join(arguments[:3])} ended with exit code {code}')


def tests(out: Path, device: torch.device, dry_run: bool) -> dict[str, dict[str, int]]:
    """How many tests that need CUDA passed, failed and were skipped, by module."""
    log = out.resolve() / 'gpu_tests.xml'
    log.parent.mkdir(parents=True, exist_ok=True)
    nothing_ran, some_failed = 5, 1
    call('tests', '-m', 'pytest', '-q', '-m', 'cuda', f'--junitxml={log}', accepted=(0, some_failed, nothing_ran))
    found: dict[str, dict[str, int]] = {}
    for case in ElementTree.parse(log).getroot().iter('testcase'):
        kinds = {child.tag for child in case}
        kind = 'failed' if kinds & {'failure', 'error'} else 'skipped' if 'skipped' in kinds else 'passed'
        module = case.get('classname', '').rpartition('.')[2]
        counts = found.setdefault(module, dict.fromkeys(('passed', 'failed', 'skipped'), 0))
        counts[kind] += 1
    log.unlink()
    return found


def benchmarks(out: Path, device: torch.device, dry_run: bool) -> dict[str, list[dict[str, Any]]]:
    """Rows of each benchmark; one that fails leaves the others."""
    rows, failed = {}, []
    names = DRY_SUITE if dry_run else SUITE
    for name in names:
        arguments = ['-m', 'benchmarks', '--device', device.type, '--only', name, '--results', str(out.resolve())]
        try:
            call('benchmarks', *arguments, *(['--quick'] if dry_run else []))
            rows[name] = json.loads((out / f'{name}_{device.type}.json').read_text())['rows']
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            failed.append(f'{name}: {error}')
    if not rows:
        raise ValueError('; '.join(failed))
    return rows


def demo(out: Path, device: torch.device, dry_run: bool) -> dict[str, float]:
    """AP of the demo after a training in bfloat16 (in float32 on the CPU), and how long it took."""
    folder = Path(tempfile.mkdtemp(prefix='gpu_demo_'))
    short = ['--quick'] if dry_run else ['--cfg-options', *BFLOAT16]
    start = time.monotonic()
    call('demo', '-m', 'mmdet_kpheads', 'demo', '--folder', str(folder), *short)
    seconds = time.monotonic() - start
    metrics: Counter = Counter()
    for path in folder.glob('work_dirs/*_test/*/*.json'):
        metrics.update(json.loads(path.read_text()))
    shutil.rmtree(folder)
    return {'seconds': round(seconds), 'AP': metrics['coco/bbox_mAP'], 'AP50': metrics['coco/bbox_mAP_50']}


def write(report: dict[str, Any], out: Path) -> None:
    """Write and print the report."""
    (out / 'gpu_report.json').write_text(json.dumps(report, indent=1) + '\n')
    text = markdown(report)
    (out / 'gpu_report.md').write_text(text)
    print(text)
    print(f'report: {out / "gpu_report.md"} and gpu_report.json')


def markdown(report: dict[str, Any]) -> str:
    """The report as text."""
    host = report['machine']
    versions = ', '.join(f'{name} {version}' for name, version in host['versions'].items())
    parts = ['# Report of a GPU' if not report['dry_run'] else '# Dry run on a CPU: no figure of a GPU']
    parts.append(f'{host["device"]}, {host["copy_gb_per_s"]:.0f} GB/s copy, {versions}, commit {host["commit"]}.')
    parts += [f'**{name} failed**: {reason}' for name, reason in report['failed'].items()]
    goals = against_cuda_goals(None if report['dry_run'] else report)
    parts += ['## Goals', table([CUDA_COLUMNS, *goals])]
    if 'tests' in report:
        lines = [[name, *map(str, counts.values())] for name, counts in sorted(report['tests'].items())]
        parts += ['## Tests that need CUDA', table([['module', 'passed', 'failed', 'skipped'], *lines])]
    if 'demo' in report:
        found = report['demo']
        parts += ['## Demo', f'AP {found["AP"]:.3f}, AP50 {found["AP50"]:.3f} after {found["seconds"]} s.']
    for name, rows in report.get('benchmarks', {}).items():
        parts += [f'## {name}', table(cells(rows))]
    return '\n\n'.join(parts) + '\n'


def table(lines: list[list[str]]) -> str:
    """Lines of cells, the first a header, as Markdown."""
    header, *rest = lines
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in (header, ['---'] * len(header), *rest))


if __name__ == '__main__':
    sys.exit(main())
