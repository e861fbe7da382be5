"""The written contract of benchmarks/README.md in code: timing, metadata, JSON."""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / 'results'
PACKAGES = ('torch', 'numpy', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'mmengine', 'mmcv-lite', 'mmdet')


def timed(call: Callable[[], Any], device: torch.device, repeats: int, warm_up: int = 2) -> dict[str, float]:
    """Median and quartiles of a call in milliseconds, the device synchronised inside the timing."""
    samples = []
    for index in range(warm_up + repeats):
        _synchronise(device)
        start = time.perf_counter()
        call()
        _synchronise(device)
        if index >= warm_up:
            samples.append((time.perf_counter() - start) * 1e3)
    low, median, high = statistics.quantiles(samples, n=4)
    return {'median_ms': median, 'q1_ms': low, 'q3_ms': high, 'repeats': repeats}


def peak_memory_mb(call: Callable[[], Any], device: torch.device) -> float:
    """Memory that a call takes at most beyond what is taken before it, in MB; on a CPU of the process (Linux)."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed goes back to the system
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts again from what is taken now
    before_kb = _status_kb('VmRSS')
    call()
    return (_status_kb('VmHWM') - before_kb) * 1024 / 1e6


def _status_kb(name: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:'))


def compared(ours: Callable[[], Any], theirs: Callable[[], Any], device: torch.device, repeats: int) -> dict[str, Any]:
    """Both sides in one run, and the ratio of their medians (above 1: ours is faster)."""
    our_times, their_times = timed(ours, device, repeats), timed(theirs, device, repeats)
    return {'ours': our_times, 'mmdet': their_times, 'ratio': their_times['median_ms'] / our_times['median_ms']}


def run(name: str, rows: Callable[[torch.device, int], list[dict[str, Any]]], description: str) -> None:
    """Command line of a benchmark: measure, print the table, save the JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--repeats', type=int, default=7)
    args = parser.parse_args()
    device = torch.device(args.device)
    measured = rows(device, args.repeats)
    print(table(measured))
    print(f'saved {save(name, measured, device)}')


def save(name: str, rows: list[dict[str, Any]], device: torch.device) -> Path:
    """Write rows and what they were measured on to ``results/NAME_DEVICE.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'{name}_{device.type}.json'
    path.write_text(json.dumps({'schema': 1, 'benchmark': name, 'machine': machine(device), 'rows': rows}, indent=1))
    return path


def machine(device: torch.device) -> dict[str, Any]:
    """Device, threads, versions and commit."""
    gpu = torch.cuda.get_device_name(device) if device.type == 'cuda' else None
    return {
        'device': gpu or _cpu_name(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'python': platform.python_version(),
        'versions': {name: version for name in PACKAGES if (version := _version(name))},
        'commit': _commit(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    memory = any('peak_mb' in row['ours'] for row in rows)
    head = '| what | size | ours ms | mmdet ms | ratio |' + (' ours MB | mmdet MB |' if memory else '')
    lines = [head, '|---' * (head.count('|') - 1) + '|']
    for row in rows:
        ours, theirs = row['ours'], row.get('mmdet', {})
        cells = [row['what'], row['size'], ours['median_ms'], theirs.get('median_ms'), row.get('ratio')]
        cells += [ours.get('peak_mb'), theirs.get('peak_mb')] if memory else []
        lines.append('| ' + ' | '.join(_cell(value) for value in cells) + ' |')
    return '\n'.join(lines)


def _cell(value: str | float | None) -> str:
    if value is None:
        return '-'
    return value if isinstance(value, str) else f'{value:.1f}'


def _synchronise(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or 'unknown'


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    git = ['git', '-C', str(Path(__file__).parent), 'rev-parse', '--short', 'HEAD']
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    return found.stdout.strip() or 'unknown'
