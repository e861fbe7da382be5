"""The heads on the fake device stay within their budgets, wait only where that is documented, and mix no devices."""

import json

import pytest

from tests.compat.processes import ROOT, call
from tests.fake_gpu.budgets import BUDGETS
from tests.fake_gpu.device import AVAILABLE
from tests.tables import require_table

pytestmark = pytest.mark.skipif(not AVAILABLE, reason='the fake device needs torch >= 2.13')


@pytest.fixture(scope='module')
def counted():
    """Every scene, counted in a process of its own."""
    seen = call('-m', 'tests.fake_gpu.scenes', '--json', cwd=ROOT)
    assert seen.returncode == 0, seen.stderr[-3000:]
    return json.loads(seen.stdout)


def test_every_scene_has_a_budget(counted):
    assert set(counted) == set(BUDGETS)


@pytest.mark.parametrize('name', BUDGETS)
def test_a_scene_is_within_its_budget(counted, name):
    found, budget = counted[name], BUDGETS[name]
    costs = {
        'launches': (found['launches'], budget.launches),
        'MB moved': (found['moved'] / 1e6, budget.moved_mb),
        'MB at once': (found['peak'] / 1e6, budget.peak_mb),
        'all_reduce': (found['all_reduce'], budget.all_reduce),
    }
    above = {what: f'{seen:.0f}, budget {bound}' for what, (seen, bound) in costs.items() if seen > bound}
    assert not above, f'{name}: {above}; see python -m tests.fake_gpu.scenes --lines "{name}"'


@pytest.mark.parametrize('name', BUDGETS)
def test_the_host_waits_only_where_it_is_documented(counted, name):
    reads = [place.rpartition(':')[0] for place in counted[name]['reads']]
    assert tuple(reads) == BUDGETS[name].reads, counted[name]['reads']
    assert counted[name]['pageable'] == []


@pytest.mark.parametrize('name', BUDGETS)
def test_a_budget_is_not_far_above_what_is_counted(counted, name):
    """So that an improvement is kept."""
    assert counted[name]['launches'] >= 0.9 * BUDGETS[name].launches
    assert counted[name]['moved'] / 1e6 >= 0.9 * BUDGETS[name].moved_mb - 1  # whole MB


COUNT = """
import torch
from tests.fake_gpu.device import DEVICE, Counting, fake_tensors, register
register()
with fake_tensors():
    x = torch.empty(4, 1000, device=DEVICE, requires_grad=True)
    host = torch.empty(2000)
    with Counting(lambda: 7) as counting:
        (2 * x).sum().backward()
        read = float(x[0, 0])
        x.detach().view(1000, 4).copy_(torch.empty(1000, 4))
        try:
            x + host[:1000]
        except RuntimeError as error:
            print('mixed:', str(error).splitlines()[0])
    counts = counting.counts
print(read, counts.launches, counts.moved, counts.peak, len(counts.reads), counts.pageable)
"""


def test_the_device_counts_by_hand():
    """Forward: a product (16 kB read and written) and a sum; backward: a ones, an expanded product; then a copy.

    The gradient of the sum is an expanded number, so the product reads 4 bytes and writes 16 kB.
    """
    seen = call('-c', COUNT, cwd=ROOT)
    assert seen.returncode == 0, seen.stderr[-3000:]
    mixed, counts = seen.stdout.splitlines()
    assert mixed.startswith('mixed:') and 'device' in mixed
    product, total, ones, slope = 16_000 + 16_000, 16_000 + 4, 4, 4 + 16_000
    copied = 16_000 + 16_000 + 16_000  # the target as an argument, the source, the result
    peak = 4 + 4 + 16_000  # the sum, the ones, the gradient; the product is freed before, the input was there
    assert counts == f"7.0 5 {product + total + ones + slope + copied} {peak} 1 ['16000 bytes in backward']"


def test_the_table_of_the_docs():
    header = ['scene', 'launches', 'GB moved', 'GB at once', 'all_reduce', 'waits of the host']
    rows = [
        [
            name,
            f'{b.launches:,}',
            f'{b.moved_mb / 1e3:.2f}',
            f'{b.peak_mb / 1e3:.2f}',
            str(b.all_reduce),
            str(len(b.reads)),
        ]
        for name, b in BUDGETS.items()
    ]
    require_table('gpu.md', 'budgets', header, rows)
