"""Scalars of one run, of resumed runs, and of files that were cut off."""

import json

import pytest

from mmdet_kpheads.report import curves


def train(*steps, epoch=1, **values):
    return [json.dumps({'loss': 1.0 / step, 'lr': 0.1, 'epoch': epoch, 'step': step, **values}) for step in steps]


def val(step, **values):
    return json.dumps({**{key.replace('_', '/', 1): value for key, value in values.items()}, 'time': 0.1, 'step': step})


def write(work_dir, run, lines):
    path = work_dir / run / 'vis_data'
    path.mkdir(parents=True)
    (path / 'scalars.json').write_text('\n'.join(lines) + '\n')


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    """The first run died in its second epoch after step 30; the second goes on from the end of the first epoch."""
    write(tmp_path, '20260101_000000', [*train(10, 20), val(1, coco_mAP=0.1), *train(30, epoch=2, lr=9.0)])
    write(tmp_path, '20260102_000000', [*train(30, 40, epoch=2), val(2, coco_mAP=0.2)])
    log = curves.read_log(tmp_path)
    assert [row['step'] for row in log.train] == [10, 20, 30, 40] and {row['lr'] for row in log.train} == {0.1}
    assert curves.metric_lines(log) == {'coco/mAP': ([1, 2], [0.1, 0.2])}


def test_a_test_in_the_same_folder_changes_nothing(tmp_path):
    write(tmp_path, '20260101_000000', [*train(10), val(1, coco_mAP=0.1)])
    write(tmp_path, '20260102_000000', [val(0, coco_mAP=0.9)])
    assert curves.metric_lines(curves.read_log(tmp_path)) == {'coco/mAP': ([1], [0.1])}


def test_a_new_training_replaces_all(tmp_path):
    write(tmp_path, '20260101_000000', [*train(10, 20, 30), val(1, coco_mAP=0.1), val(2, coco_mAP=0.2)])
    write(tmp_path, '20260102_000000', train(10, loss_wh=2.0))
    log = curves.read_log(tmp_path)
    assert [row['step'] for row in log.train] == [10] and not log.val
    assert curves.loss_lines(log) == {'loss': ([10], [0.1]), 'loss_wh': ([10], [2.0])}


@pytest.mark.parametrize('broken', ['{"loss": 1, "st', '', '[1]', '{"loss": 1}', 'null', '\ufffd', '{"step": "x"}'])
def test_broken_lines_are_skipped(broken):
    assert len(curves.split_rows([*train(10), broken, *train(20)]).train) == 2


def test_no_log_is_empty(tmp_path):
    assert curves.read_log(tmp_path) == ([], [])


def test_metrics_named_ap_come_first_and_what_is_not_defined_is_left_out():
    rows = [{'b/x': 1.0, 'coco/mAP_l': -1.0, 'a/mAP': 0.5, 'a/text': 'copy', 'step': 1, 'time': 3.0}]
    assert list(curves.metric_lines(curves.Log([], rows))) == ['a/mAP', 'b/x']
    many = [{f'm{index}': 1.0 for index in range(20)} | {'step': 1}]
    assert len(curves.metric_lines(curves.Log([], many))) == curves.MAX_METRICS
