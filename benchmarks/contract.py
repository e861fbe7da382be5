"""The written contract of benchmarks/README.md in code: timing, memory, counts, the floor, machine, JSON, table."""

import contextlib
import ctypes
import functools
import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jsonschema
import torch
from torch.profiler import ProfilerActivity, profile

from mmdet_kpheads.structures import ground_truth

HERE = Path(__file__).parent
RESULTS = HERE / 'results'
SCHEMA = json.loads((HERE / 'schema.json').read_text())
PACKAGES = (
    *('torch', 'numpy', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'mmengine', 'mmcv-lite', 'mmdet'),
    *('onnxruntime', 'openvino'),
)
ROUNDS, CALLS_A_ROUND, LEAST_CALLS = 3, 4, 2
WARM_UP_BELOW_MS = 3000.0  # once in each round, after the other side's calls; a longer call in its first round alone
SECONDS_A_SIDE = 4.0  # a slow call is repeated less often, so that the CPU part stays within a quarter of an hour
COPY_MB = 256  # of the tensor whose copy measures the bandwidth: far beyond any cache
VIEWS = {'aten::as_strided', 'aten::as_strided_', 'aten::slice', 'aten::narrow'}  # metadata only: no kernel
READS = {'aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select'}  # the host waits for the device

Call = Callable[[], Any]


def timed(call: Call, device: torch.device) -> dict[str, float]:
    """Median and quartiles of a call in milliseconds, each round after a warm-up, synchronized inside the timing."""
    (side,) = timed_in_turn((call,), device)
    return side


def timed_in_turn(calls: Sequence[Call], device: torch.device) -> list[dict[str, float]]:
    """As :func:`timed`, of several calls whose rounds alternate: a machine that slows down slows all of them."""
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, samples, strict=True):
            if not times or times[-1] < WARM_UP_BELOW_MS:
                call()
            for _ in range(CALLS_A_ROUND):
                if len(times) < LEAST_CALLS or sum(times) < SECONDS_A_SIDE * 1e3:
                    times.append(_milliseconds(call, device))
    return [_summary(times) for times in samples]


def timed_once(call: Call, device: torch.device) -> dict[str, float]:
    """Time and peak memory of a single call, for one that takes a minute."""
    times: list[float] = []
    peak_mb = peak_memory_mb(lambda: times.append(_milliseconds(call, device)), device)
    return _summary(times) | {'peak_mb': peak_mb}


def _milliseconds(call: Call, device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return (time.perf_counter() - start) * 1e3


def _summary(times: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(times * 2 if len(times) == 1 else times, n=4, method='inclusive')
    return {'median_ms': median, 'q1_ms': low, 'q3_ms': high, 'repeats': len(times)}


def compared(
    what: str, size: str, ours: Call, theirs: Call | None, device: torch.device, **more: Any
) -> dict[str, Any]:
    """A row: both sides in turn, and the ratio of their medians (above 1: ours is faster)."""
    row: dict[str, Any] = {'what': what, 'size': size}
    row |= zip(('ours', 'mmdet'), timed_in_turn([call for call in (ours, theirs) if call], device), strict=False)
    if theirs is not None:
        row['ratio'] = row['mmdet']['median_ms'] / row['ours']['median_ms']
    return row | more


def with_memory_and_counts(
    row: dict[str, Any], ours: Call, theirs: Call, device: torch.device, clear: Call, counted: Call
) -> dict[str, Any]:
    """The row with peak memory, kernels and host-device syncs of each side.

    ``clear`` drops what the last call left; ``counted`` is our call as another device makes it.
    """
    for side, call in (('ours', ours), ('mmdet', theirs)):
        clear()
        row[side]['peak_mb'] = peak_memory_mb(call, device)
        row[side] |= counts(counted if side == 'ours' else call, device)
    return row


def peak_memory_mb(call: Call, device: torch.device) -> float:
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


def counts(call: Call, device: torch.device) -> dict[str, int]:
    """Kernels that a call starts, and reads the host waits for.

    On a CPU: operators called from Python or autograd. Build the head with ``backend='reference'`` for the operators of
    other devices.
    """
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == 'cuda' else [])
    with patch.object(ground_truth, '_require_known_labels'):  # a look at the labels, which other devices skip
        call()  # what is done once is done
        with _silent_stderr(), profile(activities=activities) as profiler:
            call()
    events = profiler.events() or []
    if device.type == 'cuda':
        kernels = sum(len(event.kernels) for event in events)
    else:
        outer = (e for e in events if not (e.cpu_parent and e.cpu_parent.name.startswith('aten::')))
        kernels = sum(event.name.startswith('aten::') and event.name not in VIEWS for event in outer)
    return {'kernels': kernels, 'reads': sum(event.name in READS for event in events)}


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps the profiler's library from writing between our lines."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@functools.cache
def bytes_per_ms(device: torch.device) -> float:
    """Measured bandwidth of a copy, counted as read and write."""
    source = torch.ones(COPY_MB << 18, device=device)  # written: pages of zeros need no memory
    target = torch.zeros_like(source)
    return 2 * source.numel() * 4 / timed(lambda: target.copy_(source), device)['median_ms']


def floor_ms(num_bytes: int, device: torch.device) -> float:
    """Time that moving so many bytes takes at least."""
    return num_bytes / bytes_per_ms(device)


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def save(name: str, rows: list[dict[str, Any]], device: torch.device) -> Path:
    """Write rows and what they were measured on to ``results/NAME_DEVICE.json``, as the schema wants it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f'{name}_{device.type}.json'
    document = {'schema': 2, 'benchmark': name, 'machine': machine(device), 'rows': rows}
    jsonschema.validate(document, SCHEMA)
    path.write_text(json.dumps(document, indent=1) + '\n')
    return path


def machine(device: torch.device) -> dict[str, Any]:
    """Device, threads, bandwidth, versions and commit."""
    gpu = torch.cuda.get_device_name(device) if device.type == 'cuda' else None
    return {
        'device': gpu or _cpu_name(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
        'copy_gb_per_s': bytes_per_ms(device) / 1e6,
        'python': platform.python_version(),
        'versions': {name: version for name in PACKAGES if (version := _version(name))},
        'commit': _commit(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as Markdown."""
    return markdown(cells(rows))


def markdown(lines: list[list[str]]) -> str:
    """Lines of cells, the first a header, as a table."""
    header, *rest = lines
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in (header, ['---'] * len(header), *rest))


def cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Names of the columns, then the cells of each row; a column that no row fills is left out."""
    columns: dict[str, Callable[[dict], Any]] = {
        'what': lambda row: row['what'],
        'size': lambda row: row['size'],
        'ours ms': lambda row: row['ours'].get('median_ms'),
        'mmdet ms': lambda row: row.get('mmdet', {}).get('median_ms'),
        'ratio': lambda row: row.get('ratio'),
        'floor ms': lambda row: row.get('floor_ms'),
        'MB': lambda row: _pair(row, 'peak_mb'),
        'kernels': lambda row: _pair(row, 'kernels'),
        'reads': lambda row: _pair(row, 'reads'),
        'note': lambda row: row.get('note'),
    }
    filled = {name: read for name, read in columns.items() if any(read(row) is not None for row in rows)}
    return [list(filled), *([_cell(read(row)) for read in filled.values()] for row in rows)]


def _pair(row: dict[str, Any], key: str) -> str | None:
    if key not in row['ours']:
        return None
    sides = [row['ours'][key], *([row['mmdet'][key]] if key in row.get('mmdet', {}) else [])]
    return ' / '.join(f'{value:.0f}' for value in sides)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.3g}' if value < 100 else f'{value:.0f}'
    return '' if value is None else str(value)


def _status_kb(name: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:'))


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
    git = ['git', '-C', str(HERE), 'rev-parse', '--short', 'HEAD']
    found = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    measured = ['.', '../mmdet_kpheads', '../mmdet_kpheads_cli', '../configs', ':!results']
    status = ['git', '-C', str(HERE), 'status', '--porcelain', '--', *measured]
    changed = subprocess.run(status, capture_output=True, text=True, check=False).stdout.strip()
    return (found or 'unknown') + ('-dirty' if changed else '')
