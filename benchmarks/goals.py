"""What the benchmarks are to show on two CPU cores and on a card, and whether they do."""

from typing import Any

COLUMNS = ['what', 'size', 'goal', 'measured', '']
# what and size of a row of heads.py, and the least ratio
GOALS = (
    ('CenterNet loss + backward', '16 images, 7 boxes', 10),
    ('CenterNet loss + backward', '4 images, 100 boxes', 10),
    ('CornerNet loss + backward', '16 images, 7 boxes', 12),
    ('CornerNet loss + backward', '4 images, 100 boxes', 12),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 7 boxes', 3),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 50 boxes', 12),
    ('AutoAssign loss + backward', '2 images 800 x 1088, 200 boxes', 20),
    ('CenterNet predict', '16 images, 7 boxes', 3),
    ('CenterNet predict', '4 images, 100 boxes', 3),
    ('CornerNet predict, soft-NMS', '16 images, 7 boxes', 5),
    ('CornerNet predict, soft-NMS', '4 images, 100 boxes', 5),
)


# detector of steps.py, and the least ratio of a fast training step where bfloat16 is native
FAST_STEP_GOALS = {'CenterNet-R18': 2.2, 'CornerNet-R18': 2.0, 'AutoAssign-R50': 1.9, 'CenterNet-R18-DCN': 2.0}
FAST_STEP_GOAL_IN_FLOAT32 = 1.15
FAST_INFERENCE_GOAL = 2.0
FAST_MEMORY_GOAL = 0.7  # of mmdet's, at most
FAST_COLUMNS = ['fast, whole', 'training step', 'goal', '', 'inference', 'goal', '', 'memory of a step', 'goal', '']


def against_fast_goals(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A line of cells for each detector of steps.py: ours with --fast against mmdet's stock run."""
    found = {row['what']: row for row in rows}
    lines = []
    for name, native_goal in FAST_STEP_GOALS.items():
        step, inference = found[f'{name} training step, fast'], found[f'{name} inference, fast']
        goal = native_goal if 'bfloat16' in step['note'] else FAST_STEP_GOAL_IN_FLOAT32
        memory = step['ours']['peak_mb'] / step['mmdet']['peak_mb']
        lines.append(
            [
                name,
                *(f'{step["ratio"]:.2f}', f'{goal}', _verdict(step['ratio'] >= goal)),
                *(
                    f'{inference["ratio"]:.2f}',
                    f'{FAST_INFERENCE_GOAL}',
                    _verdict(inference['ratio'] >= FAST_INFERENCE_GOAL),
                ),
                *(f'{memory:.2f}', f'{FAST_MEMORY_GOAL}', _verdict(memory <= FAST_MEMORY_GOAL)),
            ]
        )
    return lines


def _verdict(met: bool) -> str:
    return 'met' if met else '**missed**'


def against_goals(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A line of cells for each goal."""
    ratios = {(row['what'], row['size']): row['ratio'] for row in rows if 'ratio' in row}
    lines = []
    for what, size, goal in GOALS:
        ratio = ratios[what, size]
        lines.append([what, size, str(goal), f'{ratio:.1f}', _verdict(ratio >= goal)])
    return lines


def _row(report: dict[str, Any], benchmark: str, what: str, size: str = '') -> dict[str, Any]:
    rows = report['benchmarks'][benchmark]
    return next(row for row in rows if row['what'] == what and row['size'].startswith(size))


def _no_waits(report: dict[str, Any]) -> tuple[str, bool]:
    counts = report['tests']['test_cuda']
    return f'{counts["passed"]} tests passed, {counts["failed"]} failed', counts['passed'] > 0 and not counts['failed']


def _head_share(report: dict[str, Any]) -> tuple[str, bool]:
    share = _row(report, 'steps', 'CenterNet-R18 training step')['ours']['head_share']
    return f'{share:.1%}', share <= 0.05


def _head_ratio(report: dict[str, Any]) -> tuple[str, bool]:
    ratio = _row(report, 'heads', 'CenterNet loss + backward', '4 images, 100')['ratio']
    return f'{ratio:.1f}', ratio >= 20


def _step_ratio(report: dict[str, Any]) -> tuple[str, bool]:
    ratio = _row(report, 'steps', 'CenterNet-R18 training step')['ratio']
    return f'{ratio:.2f}', ratio >= 1.5


def _memory(report: dict[str, Any]) -> tuple[str, bool]:
    row = _row(report, 'steps', 'AutoAssign-R50, crowded training step')
    share = row['ours']['peak_mb'] / row['mmdet']['peak_mb']
    return f'{share:.2f}', share <= 0.6


def _floor(report: dict[str, Any]) -> tuple[str, bool]:
    row = _row(report, 'heads', 'CenterNet loss + backward', '16 images')
    times = row['ours']['median_ms'] / row['floor_ms']
    return f'{times:.1f}', times <= 2


CUDA_COLUMNS = ['goal on CUDA', 'measured', '']
CUDA_GOALS = (
    (
        'no wait in heat-map losses and in decoding up to tensors of fixed size; one in the loss of AutoAssign',
        _no_waits,
    ),
    ('targets and losses at most 5 % of a CenterNet-R18 step (32 images of 512 x 512, bfloat16)', _head_share),
    ("CenterNet's loss and backward 20 times faster than mmdet's, 4 images with 100 boxes", _head_ratio),
    ("a whole CenterNet-R18 step 1.5 times faster than with mmdet's head, both in bfloat16", _step_ratio),
    ("peak memory of an AutoAssign-R50 step at most 0.6 of that with mmdet's head, 200 boxes per image", _memory),
    ("CenterNet's loss and backward at most twice the time of the bandwidth floor, 16 images", _floor),
)


def against_cuda_goals(report: dict[str, Any] | None) -> list[list[str]]:
    """A line of cells for each goal; what a report of a card does not hold is not measured."""
    lines = []
    for text, measure in CUDA_GOALS:
        try:
            measured, met = measure(report or {})
            lines.append([text, measured, _verdict(met)])
        except (KeyError, StopIteration):
            lines.append([text, 'not measured', ''])
    return lines
