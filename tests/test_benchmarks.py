"""What the benchmarks store, and the arithmetic that they show; times are measured there, never asserted here."""

import json

import pytest
import torch

from mmdet_kpheads.compat.config_bases import configs_root
from tests.tables import require_table

jsonschema = pytest.importorskip('jsonschema')
FOLDER = configs_root().parent / 'benchmarks'
if not FOLDER.is_dir():
    pytest.skip('benchmarks are in the repository, not in the wheel', allow_module_level=True)

from benchmarks import (  # noqa: E402
    comparison,
    comparison_plot,
    contract,
    deploy,
    goals,
    gpu,
    growth,
    heads,
    scenes,
    templates,
    yolo,
)

CPU = torch.device('cpu')
RESULTS = sorted(FOLDER.glob('results/*.json'))


def row(**more):
    side = dict(median_ms=2.0, q1_ms=1.0, q3_ms=3.0, repeats=7)
    return dict(what='loss', size='1 image', ours=dict(side), mmdet=dict(side, median_ms=8.0), ratio=4.0) | more


@pytest.mark.parametrize('path', RESULTS, ids=lambda path: path.stem)
def test_stored_results_keep_the_schema(path):
    document = json.loads(path.read_text())
    jsonschema.validate(document, contract.SCHEMA)
    assert path.stem.startswith(document['benchmark'])
    for entry in document['rows']:
        if 'ratio' in entry:
            ratio = entry['mmdet']['median_ms'] / entry['ours']['median_ms']
            assert entry['ratio'] == pytest.approx(ratio)


def test_there_are_results_of_every_benchmark():
    from benchmarks.__main__ import SUITE

    assert {path.stem for path in RESULTS} >= {f'{name}_cpu' for name in SUITE}


@pytest.mark.parametrize('broken', [{'extra': 1}, {'ours': {'median_ms': 1.0}}, {'what': None}])
def test_a_row_that_breaks_the_schema_is_not_saved(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, 'RESULTS', tmp_path)
    monkeypatch.setattr(contract, 'COPY_MB', 1)
    assert contract.save('test', [row()], CPU).is_file()
    with pytest.raises(jsonschema.ValidationError):
        contract.save('broken', [row(**broken)], CPU)
    assert not (tmp_path / 'broken_cpu.json').exists()


def rows_of(name):
    return json.loads((FOLDER / f'results/{name}_cpu.json').read_text())['rows']


@pytest.mark.parametrize(
    'name', ['heads', 'growth', 'steps', 'parts', 'kernels', 'data', 'compiled', 'startup', 'jobs']
)
def test_tables_of_the_docs_are_the_stored_results(name):
    header, *rows = contract.cells(rows_of(name))
    require_table('benchmarks.md', name, header, rows)


def test_table_of_the_metrics():
    header, *rows = contract.cells(rows_of('evaluation'))
    require_table('speed.md', 'evaluation', header, rows)


@pytest.mark.skipif(
    not (FOLDER / 'results/deploy_cpu.json').exists(), reason='not measured yet: python -m benchmarks --only deploy'
)
def test_table_of_exported_files():
    require_table('export.md', 'deploy', deploy.COLUMNS, deploy.table(rows_of('deploy')))


def test_table_of_the_comparison_of_heads():
    rows = comparison.stored(FOLDER / 'results/comparison_cpu.jsonl')
    require_table('benchmarks.md', 'comparison', comparison.COLUMNS, comparison.table(rows))


def test_table_of_the_settings_of_the_keypoint_heads():
    rows = comparison.stored(FOLDER / 'results/settings_cpu.jsonl')
    require_table('benchmarks.md', 'settings', ['setting', *comparison.COLUMNS[1:]], comparison.table(rows))


def test_table_of_the_settings_of_the_templates():
    rows = comparison.stored(FOLDER / 'results/templates_cpu.jsonl')
    require_table('benchmarks.md', 'templates', templates.COLUMNS, templates.table(rows))


def test_the_default_of_a_head_comes_before_its_other_settings():
    runs = [('b', 'x', 0.2), ('b', 'default', 0.1), ('a', 'y', 0.3), ('b', 'z', 0.4), ('a', 'default', 0.1)]
    rows = [{'head': head, 'data': name, 'ap': ap, 'ap50': 0.5, 'seconds': 90} for head, name, ap in runs]
    assert [line[:3] for line in templates.table(rows)] == [
        ['default', 'a', '10.0'],
        ['y', 'a', '30.0'],
        ['default', 'b', '10.0'],
        ['z', 'b', '40.0'],
        ['x', 'b', '20.0'],
    ]
    assert templates.table(rows)[0][3:] == ['50.0', '1.5', '1']


def test_runs_of_a_head_are_summed_up_in_one_line_best_first():
    shared = {'data': 'cells', 'ap50': 0.5, 'train_images_per_s': 9.0, 'test_images_per_s': 8.0, 'peak_mb': 7}
    runs = [('a', 0.1), ('b', 0.3), ('a', 0.2)]
    rows = [{**shared, 'head': head, 'ap': ap} for head, ap in runs]
    assert comparison.table(rows) == [
        ['cells', 'b', '30.0', '50.0', '9.0', '8.0', '7', '1'],
        ['cells', 'a', '15.0 ± 7.1', '50.0 ± 0.0', '9.0', '8.0', '7', '2'],
    ]


def test_the_plot_of_the_comparison_is_drawn(tmp_path):
    comparison_plot.draw(comparison.stored(FOLDER / 'results/comparison_cpu.jsonl'), tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def test_labels_for_yolo(tmp_path):
    """Centers and sizes over those of the image; category ids with gaps become positions in the list of names."""
    images = [{'id': number, 'file_name': f'{number}.jpg', 'width': 100, 'height': 50} for number in (1, 2, 3)]
    boxes = [(2, 90, [10, 10, 40, 20]), (2, 7, [0, 0, 100, 50]), (3, 7, [0, 0, 1, 1])]
    annotations = [{'image_id': image, 'category_id': label, 'bbox': box} for image, label, box in boxes]
    categories = [{'id': 7, 'name': 'cat'}, {'id': 90, 'name': 'dog'}]
    (tmp_path / 'annotations').mkdir()
    document = {'images': images, 'annotations': annotations, 'categories': categories}
    (tmp_path / 'annotations/train.json').write_text(json.dumps(document))
    assert yolo.write_labels(tmp_path, 'train.json', tmp_path / 'all') == ['cat', 'dog']
    assert (tmp_path / 'all/labels/2.txt').read_text() == '1 0.3 0.4 0.4 0.4\n0 0.5 0.5 1.0 1.0'
    assert [path.name for path in sorted((tmp_path / 'all/images').iterdir())] == ['1.jpg', '2.jpg', '3.jpg']
    yolo.write_labels(tmp_path, 'train.json', tmp_path / 'first', first=1)  # of the images with boxes
    assert [path.name for path in (tmp_path / 'first/images').iterdir()] == ['2.jpg']


def test_a_call_that_takes_a_minute_is_measured_once():
    calls = []
    side = contract.timed_once(lambda: calls.append(1), CPU)
    assert len(calls) == side['repeats'] == 1 and side['q1_ms'] == side['median_ms'] == side['q3_ms']


def test_table_of_the_goals():
    require_table('benchmarks.md', 'goals', goals.COLUMNS, goals.against_goals(rows_of('heads')))


def test_a_goal_is_met_or_missed():
    found = [row(what=what, size=size, ratio=float(goal)) for what, size, goal in goals.GOALS]
    found[0]['ratio'] -= 0.1
    lines = goals.against_goals(found)
    assert [line[-1] for line in lines] == ['**missed**'] + ['met'] * (len(lines) - 1)


def test_table_of_the_fast_goals():
    require_table('benchmarks.md', 'fast goals', goals.FAST_COLUMNS, goals.against_fast_goals(rows_of('steps')))


@pytest.mark.parametrize(('note', 'wanted'), [('bfloat16 autocast, fused SGD', 'missed'), ('fused SGD', 'met')])
def test_fast_goals_depend_on_what_the_processor_computes(note, wanted):
    found = []
    for name in goals.FAST_STEP_GOALS:
        step = row(what=f'{name} training step, fast', ratio=1.5, note=note)
        step['ours']['peak_mb'], step['mmdet']['peak_mb'] = 70.0, 100.0
        found += [step, row(what=f'{name} inference, fast', ratio=2.0)]
    for line in goals.against_fast_goals(found):
        assert wanted in line[3] and line[6] == line[9] == 'met'


def test_table_of_the_cuda_goals():
    report = FOLDER / 'results/gpu/gpu_report.json'
    found = json.loads(report.read_text()) if report.exists() else None
    require_table('benchmarks.md', 'cuda goals', goals.CUDA_COLUMNS, goals.against_cuda_goals(found))


def report_of_a_card(share=0.04, waits_failed=0):
    side = dict(median_ms=2.0, head_share=share, peak_mb=50.0)
    steps = [
        row(what='CenterNet-R18 training step', ours=side, ratio=1.6),
        row(what='AutoAssign-R50, crowded training step', ours=side, mmdet=dict(side, peak_mb=100.0)),
    ]
    heads_rows = [
        row(what='CenterNet loss + backward', size='16 images, 7 boxes', floor_ms=1.5),
        row(what='CenterNet loss + backward', size='4 images, 100 boxes', ratio=19.0),
    ]
    tests = dict(test_cuda=dict(passed=9, failed=waits_failed, skipped=0))
    return dict(tests=tests, benchmarks=dict(steps=steps, heads=heads_rows))


def test_cuda_goals_are_met_missed_or_not_measured():
    lines = goals.against_cuda_goals(report_of_a_card())
    assert [line[1:] for line in lines] == [
        ['9 tests passed, 0 failed', 'met'],
        ['4.0%', 'met'],
        ['19.0', '**missed**'],
        ['1.60', 'met'],
        ['0.50', 'met'],
        ['1.3', 'met'],
    ]
    assert goals.against_cuda_goals(report_of_a_card(share=0.06, waits_failed=1))[0][2] == '**missed**'
    without_steps = report_of_a_card()
    del without_steps['benchmarks']['steps']
    assert [line[1] for line in goals.against_cuda_goals(without_steps)].count('not measured') == 3
    assert {line[1] for line in goals.against_cuda_goals(None)} == {'not measured'}


def test_a_stage_that_fails_leaves_the_others_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(
        gpu, 'machine', lambda device: dict(device='a card', copy_gb_per_s=9.0, versions={}, commit='1')
    )
    monkeypatch.setattr(gpu, 'tests', lambda *_: (dict(test_cuda=dict(passed=1, failed=0, skipped=2)), ''))
    monkeypatch.setattr(gpu, 'benchmarks', lambda *_: (_ for _ in ()).throw(ValueError('out of memory\nmore')))
    monkeypatch.setattr(gpu, 'demo', lambda *_: (dict(seconds=100, AP=0.5, AP50=0.9), ''))
    report = gpu.measured(tmp_path, dry_run=False)
    gpu.write(report, tmp_path)
    text = (tmp_path / 'gpu_report.md').read_text()
    assert json.loads((tmp_path / 'gpu_report.json').read_text())['failed'] == {'benchmarks': 'out of memory'}
    for part in (
        '**benchmarks failed**: out of memory',
        '| test_cuda | 1 | 0 | 2 |',
        'AP 0.500, AP50 0.900 after 100 s',
    ):
        assert part in text


XML = """<testsuites><testsuite><testcase classname="tests.heads.test_cuda"/>
<testcase classname="tests.heads.test_cuda"><failure/></testcase>
<testcase classname="tests.heads.test_precision"><skipped/></testcase></testsuite></testsuites>"""


def test_failed_tests_and_missing_benchmarks_are_problems(tmp_path, monkeypatch):
    def call(deadline, *arguments, accepted=(0,)):
        if 'pytest' in arguments:
            (tmp_path / 'gpu_tests.xml').write_text(XML)
        elif 'heads' not in arguments:
            raise ValueError('exit code 3')
        else:
            (tmp_path / 'heads_cuda.json').write_text(json.dumps(dict(rows=[row()])))

    monkeypatch.setattr(gpu, 'call', call)
    counts, problem = gpu.tests(tmp_path, False, 0)
    assert counts['test_cuda'] == dict(passed=1, failed=1, skipped=0) and problem == '1 tests failed'
    rows, problem = gpu.benchmarks(tmp_path, False, 0)
    assert list(rows) == ['heads'] and problem.startswith('steps: exit code 3; kernels:')


def test_without_a_card_it_is_one_line(monkeypatch):
    monkeypatch.setattr('sys.argv', ['gpu'])
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit, match=r'no CUDA device: .* make gpu GPU=--dry-run'):
        gpu.main()


def test_slope_is_the_exponent_of_the_upper_half():
    assert growth.slope([1, 10, 100, 1000], [5.0, 5.0, 50.0, 500.0]) == pytest.approx(1.0)
    assert growth.slope([1, 10, 100, 1000], [1.0, 3.0, 3.0, 3.0]) == pytest.approx(0.0)


def test_table_leaves_out_what_no_row_has():
    text = contract.table([row(), row(note='slow')])
    assert text.splitlines()[0] == '| what | size | ours ms | mmdet ms | ratio | note |'
    assert '| loss | 1 image | 2 | 8 | 4 | slow |' in text


def test_counts_are_those_of_other_devices():
    """With the reference formulas; the host waits nowhere in our loss."""
    scene = scenes.centernet_scene(1, 3, CPU, 16)
    ours, theirs = heads.centernet_heads('reference')
    few = contract.counts(scenes.training_of(ours, scene), CPU)
    many = contract.counts(scenes.training_of(ours, scenes.centernet_scene(1, 30, CPU, 16)), CPU)
    assert few == many and few['reads'] == 0 and few['kernels'] > 50
    assert contract.counts(scenes.training_of(theirs, scene, probability=True), CPU)['reads'] > 0


def test_rounds_alternate():
    order = []
    sides = contract.timed_in_turn([lambda: order.append('a'), lambda: order.append('b')], CPU)
    assert ''.join(order) == 'aaaaabbbbb' * 3  # the first of five warms up
    assert [side['repeats'] for side in sides] == [12, 12]


def test_a_slow_call_is_repeated_less_often(monkeypatch):
    monkeypatch.setattr(contract, 'SECONDS_A_SIDE', 0.0)
    monkeypatch.setattr(contract, 'WARM_UP_BELOW_MS', 0.0)
    calls = []
    assert contract.timed(lambda: calls.append(1), CPU)['repeats'] == contract.LEAST_CALLS
    assert len(calls) == contract.LEAST_CALLS + 1


def test_memory_of_a_call_is_found():
    peak = contract.peak_memory_mb(lambda: torch.ones(40 << 18).sum(), CPU)  # 40 MiB
    assert 35 < peak < 80
