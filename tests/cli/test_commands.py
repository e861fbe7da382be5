"""From data to visualizations with the commands, on a few tiny images; each bad input is one line."""

import json
import logging
import os
import re
import resource
import runpy
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmdet
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

import mmdet_kpheads
from mmdet_kpheads.cli import check_dataset, demo, make_digits, show_assignment, speed, test, train
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.data.annotations import AnnotatedImage
from mmdet_kpheads.data.digits import CLASSES, IMAGE_FOLDER
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.optim import precision
from mmdet_kpheads.registry import HOOKS, METRICS
from mmdet_kpheads_cli import subcommands
from mmdet_kpheads_cli.parsers import parse

pytest.importorskip('sklearn')

TOOLS = configs_root().parent / 'tools'
CONFIG = 'demo/centernet_digits.py'
SHORT = ('train_cfg.max_epochs=1', 'train_dataloader.batch_size=4', 'default_hooks.logger.interval=1')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with data/digits, trained for one epoch of two steps."""
    path = tmp_path_factory.mktemp('demo')
    before = os.getcwd()
    os.chdir(path)
    make_digits.main(['data/digits', '--num-train', '8', '--num-val', '4', '--size', '64'])
    train.main([CONFIG, '--cfg-options', *SHORT])
    yield path
    os.chdir(before)


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def checkpoint():
    return Path('work_dirs/centernet_digits/last_checkpoint').read_text()


def figures(work_dir):
    return json.loads(max(Path(work_dir).glob('*/*.json')).read_text())


def test_training_writes_log_and_checkpoint():
    assert Path(checkpoint()).is_file()
    log = next(Path('work_dirs/centernet_digits').glob('*/*.log')).read_text()
    assert 'eta: ' in log and 'bbox_mAP_50' in log and not re.search(r'num_\w+: 0', log)
    scalars = next(Path('work_dirs/centernet_digits').glob('*/vis_data/scalars.json')).read_text()
    assert '"num_dropped_boxes": 0.0' in scalars


def test_a_second_run_of_a_process_writes_its_own_scalars():
    """With the name that mmdet's configs give it, the visualizer of the first run would be taken again."""
    for work_dir in ('first_run', 'second_run'):
        train.main([CONFIG, '--work-dir', work_dir, '--cfg-options', *SHORT, 'visualizer.name=visualizer'])
        assert len(list(Path(work_dir).glob('*/vis_data/scalars.json'))) == 1, work_dir


def test_a_run_begins_with_a_short_header(capfd):
    """As the command runs it: nothing of other packages, and in the log file the config and the hooks."""
    quiet_run = ['train', CONFIG, '--work-dir', 'quiet', '--show-dir', 'shown_in_training', '--show-every', '2']
    quiet_run += ['--fast', '--resume']
    assert subcommands.main([*quiet_run, '--cfg-options', *SHORT, 'randomness.seed=7']) == 0
    printed, errors = capfd.readouterr()
    lines = printed.splitlines()
    first = next(index for index, line in enumerate(lines) if 'Epoch(train)' in line)
    header = '\n'.join(lines[:first])
    assert first <= 18 and not errors
    assert lines[0].startswith('mmdet_kpheads ')
    for text in (
        rf'^mmdet_kpheads {re.escape(mmdet_kpheads.__version__)}, mmdet \S+, torch \S+$',
        r'^speed: ',
        r'^resume: no checkpoint in quiet, so from the beginning$',
        r'^model: CenterNet, mmdet_kpheads\.CenterNetHead, ResNet',
        r'^train: 8 images, \d+ boxes in data/digits/annotations/train\.json$',
        r'^val: 4 images, ',
        r"^classes: 10 \('zero', ",
        r'^boxes: from \d+ x \d+ to \d+ x \d+ pixels$',
        r'^images: from 64 x 64 to 64 x 64 pixels$',
        r'^device: \w+, ',
        r'^ops: .*; losses and decoding: \w+$',
        r'^seed: 7$',
        rf'^work dir: {Path.cwd()}/quiet$',
        rf'^log: {Path.cwd()}/quiet/.*\.log ',
    ):
        assert re.search(text, header, re.MULTILINE), f'{text}\n{header}'
    assert all(re.match(r'\d\d/\d\d [\d:]+  (Epoch|The best)', line) for line in lines[first:-4]), printed
    assert lines[-4] == f'2 pictures in {Path.cwd()}/shown_in_training'
    assert sorted(path.name for path in Path('shown_in_training').iterdir()) == ['val_00000_1.jpg', 'val_00002_1.jpg']
    log = next(Path('quiet').glob('*/*.log')).read_text()
    for text in ('Config:', 'Hooks will be executed', 'creating index...'):
        assert text in log
    assert MMLogger.__init__.__module__ == 'mmengine.logging.logger'  # as before


def test_resume_goes_on(capsys):
    train.main([CONFIG, '--resume', '--auto-scale-lr', '--cfg-options', *SHORT[1:], 'train_cfg.max_epochs=2'])
    assert checkpoint().endswith('epoch_2.pth')
    *_, last, following, report = capsys.readouterr().out.splitlines()
    assert last == f'last checkpoint: {checkpoint()}'  # the demo does not keep the best one
    assert following.startswith(f'next: mmdet-kpheads test {CONFIG} {checkpoint()} ')
    assert report == '      mmdet-kpheads report work_dirs/centernet_digits'


@pytest.mark.slow
def test_mmdets_own_train_script_trains_and_resumes():
    """Neither our commands nor ``compat.install()``: the config imports the package, and mmengine resumes."""
    cfg = Config.fromfile(configs_root() / CONFIG)
    cfg.custom_imports = {'imports': ['mmdet_kpheads']}
    cfg.dump('flat.py')
    script = Path(mmdet.__file__).parent / '.mim/tools/train.py'
    for epochs, resume in ((1, ()), (2, ('--resume',))):
        options = ['--work-dir', 'mmdets', *resume, '--cfg-options', *SHORT[1:], f'train_cfg.max_epochs={epochs}']
        seen = subprocess.run(
            [sys.executable, str(script), 'flat.py', *options], capture_output=True, text=True, check=False
        )
        assert seen.returncode == 0, seen.stderr[-3000:]
        assert 'Could not safely load weights' not in seen.stdout + seen.stderr
    assert Path('mmdets/last_checkpoint').read_text().endswith('epoch_2.pth')
    assert 'resumed epoch: 1' in seen.stdout + seen.stderr


def bfloat16_is_native(monkeypatch, native):
    for module in (speed, precision):
        monkeypatch.setattr(module, 'native_bfloat16', lambda kind: native)


def options_of(monkeypatch, native, device, *words):
    """The config that train makes of its arguments on a device."""
    monkeypatch.setattr(train, 'get_device', lambda: device)
    bfloat16_is_native(monkeypatch, native)
    cfg = Config.fromfile(configs_root() / CONFIG)
    train.apply_arguments(cfg, parse('train', [*words]))
    return cfg


@pytest.mark.parametrize(('launcher', 'hooks'), [('none', 0), ('pytorch', 1)])
def test_processes_average_their_batch_normalization_statistics(launcher, hooks):
    cfg = Config.fromfile(configs_root() / CONFIG)
    cfg.launcher = launcher
    for _ in range(2):
        train.apply_arguments(cfg, parse('train', [CONFIG]))
    assert [hook.type for hook in cfg.custom_hooks].count('SyncBuffersHook') == hooks


@pytest.mark.parametrize(
    ('native', 'device', 'words', 'kind'),
    [
        (True, 'cuda', ['--amp'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (False, 'cuda', ['--amp'], 'AmpOptimWrapper'),
        (True, 'cuda', ['--amp', 'fp16'], 'AmpOptimWrapper'),
        (True, 'cpu', ['--amp'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (True, 'cpu', ['--amp', 'bf16'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (True, 'cpu', ['--fast'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (True, 'cuda', ['--fast'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (False, 'cuda', ['--fast'], 'AmpOptimWrapper'),
        (True, 'cpu', ['--fast', '--amp', 'bf16'], 'mmdet_kpheads.AutocastOptimWrapper'),
        (False, 'cpu', ['--fast'], 'OptimWrapper'),
        (True, 'cpu', [], 'OptimWrapper'),
    ],
)
@pytest.mark.parametrize('first', [True, False], ids=['config last', 'config first'])
def test_amp_takes_what_is_native(native, device, words, kind, first, monkeypatch, capsys):
    cfg = options_of(monkeypatch, native, device, *([*words, CONFIG] if first else [CONFIG, *words]))
    assert cfg.optim_wrapper.type == kind and 'clip_grad' in cfg.optim_wrapper
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if kind == 'AmpOptimWrapper' else None)
    hooks = [hook.type for hook in cfg.custom_hooks]
    slower = device == 'cpu' and not native  # channels last in training
    assert ('mmdet_kpheads.MemoryFormatHook' in hooks) == ('--fast' in words and not slower)
    said = capsys.readouterr().out
    assert ('speed: ' in said) == bool(words)
    assert cfg.optim_wrapper.optimizer.get('fused', False) == ('fused AdamW' in said) == ('--fast' in words)
    pinned = '--fast' in words and device == 'cuda'
    assert cfg.train_dataloader.get('pin_memory', False) == ('pinned memory' in said) == pinned
    assert cfg.model.data_preprocessor.get('non_blocking', False) == pinned


def test_what_is_not_known_to_be_faster_is_left(monkeypatch, capsys):
    cfg = options_of(monkeypatch, True, 'mps', CONFIG, '--fast')
    assert 'speed: mmdet_kpheads.CocoMetric\n' in capsys.readouterr().out
    assert 'fused' not in cfg.optim_wrapper.optimizer and cfg.optim_wrapper.type == 'OptimWrapper'
    cfg.optim_wrapper = dict(constructor='two optimizers')
    assert speed.speed_up_training(cfg, 'cpu', None, fast=True, compiled=False) == 'bfloat16 autocast, channels last'
    cfg.optim_wrapper = dict(optimizer=dict(type='Lion'))
    assert 'fused' not in speed.speed_up_training(cfg, 'cpu', None, fast=True, compiled=False)


def test_fast_takes_our_coco_metric(monkeypatch, mmdet_scope):
    bfloat16_is_native(monkeypatch, False)
    cfg = Config.fromfile(configs_root() / 'centernet/centernet_r18_custom-voc.py')
    assert speed.speed_up_test(cfg, 'cpu') == 'channels last, mmdet_kpheads.CocoMetric'
    assert speed.use_fast_metric(cfg) == []
    for evaluators in (cfg.val_evaluator, cfg.test_evaluator):
        built = {type(METRICS.build(metric)).__name__: type(METRICS.build(metric)).__module__ for metric in evaluators}
        assert built['CocoMetric'].startswith('mmdet_kpheads.') and built['VOCMetric'].startswith('mmdet.')
    other = Config(dict(val_evaluator=dict(type='LVISMetric'), optim_wrapper=dict()))
    choice = speed.speed_up_training(other, 'mps', None, fast=True, compiled=False)
    assert choice == 'as it was: nothing is faster here' and other.val_evaluator.type == 'LVISMetric'


def test_compiled_parts_keep_their_names(monkeypatch, capsys):
    cfg = options_of(monkeypatch, False, 'cpu', CONFIG, '--compile')
    assert 'speed: compiled backbone and neck' in capsys.readouterr().out
    assert cfg.custom_hooks[-1].type == 'mmdet_kpheads.CompileHook'
    model = torch.nn.Module()
    model.backbone, model.bbox_head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    compiled, names = [], list(model.state_dict())
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self: compiled.append(self))
    HOOKS.build(cfg.custom_hooks[-1]).before_run(SimpleNamespace(model=model, logger=MMLogger.get_current_instance()))
    assert compiled == [model.backbone] and list(model.state_dict()) == names


def test_bfloat16_replaces_the_wrapper_of_a_config_with_mixed_precision(monkeypatch):
    cfg = options_of(monkeypatch, False, 'cuda', CONFIG, '--amp')
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    monkeypatch.setattr(precision, 'native_bfloat16', lambda kind: True)
    speed.use_mixed_precision(cfg, 'bf16', 'cuda')
    assert cfg.optim_wrapper.type == 'mmdet_kpheads.AutocastOptimWrapper'
    assert not {'loss_scale', 'dtype'} & set(cfg.optim_wrapper)


@pytest.mark.parametrize(
    ('native', 'device', 'words', 'message'),
    [
        (False, 'cpu', ['--amp'], '--amp bf16: this CPU has no bfloat16 instructions, .* leave out --amp'),
        (True, 'cpu', ['--amp', 'fp16'], '--amp fp16 needs a GPU'),
        (False, 'cuda', ['--amp', 'bf16'], 'this GPU has no bfloat16 instructions, .* take --amp fp16'),
        (True, 'mps', ['--amp'], "the device is 'mps': leave it out"),
    ],
)
def test_amp_that_does_not_fit_is_refused(native, device, words, message, monkeypatch):
    with pytest.raises(InputError, match=message):
        options_of(monkeypatch, native, device, CONFIG, *words)


def test_training_in_bfloat16_goes_on_in_float32_and_back(monkeypatch):
    """Three epochs, two of them resumed under the other wrapper; weights are float32 and finite."""
    bfloat16_is_native(monkeypatch, True)
    for epochs, words in ((1, ['--fast']), (2, ['--resume']), (3, ['--fast', '--resume'])):
        options = ['--cfg-options', *SHORT[1:], f'train_cfg.max_epochs={epochs}']
        train.main([CONFIG, '--work-dir', 'mixed', *words, *options])
    logs = [path.read_text() for path in sorted(Path('mixed').glob('*/*.log'))]
    assert ['resumed epoch: 1' in logs[-2], 'resumed epoch: 2' in logs[-1]] == [True, True]
    weights = torch.load('mixed/epoch_3.pth', weights_only=False)['state_dict']
    assert all(value.dtype != torch.bfloat16 and value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize('native', [True, False])
def test_a_fast_test_has_the_results_of_a_slow_one(native, monkeypatch, capsys):
    """Random weights give equal boxes up to the rounding of the format."""
    bfloat16_is_native(monkeypatch, native)
    scores = []
    for words in ([], ['--fast']):
        test.main([CONFIG, checkpoint(), '--work-dir', 'fast', '--out', 'fast.pkl', *words])
        scores.append(mmengine.load('fast.pkl')[0]['pred_instances']['scores'])
    torch.testing.assert_close(*scores, rtol=0.05 if native else 1e-3, atol=1e-4)
    assert not (native and torch.equal(*scores))  # bfloat16 has rounded
    assert f'speed: {"bfloat16 autocast, " if native else ""}channels last' in capsys.readouterr().out


def test_testing_writes_figures_and_predictions():
    test.main([CONFIG, checkpoint(), '--work-dir', 'tested', '--out', 'found.pkl'])
    assert 'coco/bbox_mAP_50' in figures('tested')
    found = mmengine.load('found.pkl')
    assert len(found) == 4 and found[0]['pred_instances']['bboxes'].shape[1] == 4
    path = demo.draw_predictions(found, Path('drawn'), Path('data/digits'), 0.3)
    assert cv2.imread(str(path)) is not None and len(list(Path('drawn').glob('val_*.png'))) == 4
    assert demo.read_metrics(Path('tested')) == figures('tested')


def test_flip_tta_merges_detections_and_saves_visualizations(capsys):
    test.main([CONFIG, checkpoint(), '--work-dir', 'flipped', '--tta', '--show-dir', 'shown'])
    assert 'coco/bbox_mAP_50' in figures('flipped')
    assert len(list(Path('shown').glob('*.jpg'))) == 4
    assert capsys.readouterr().out.splitlines()[-1] == f'4 pictures in {Path.cwd()}/shown'


def test_flip_average_of_a_config_is_used():
    Path('average.py').write_text(
        "_base_ = 'mmdet_kpheads::demo/centernet_digits.py'\n"
        "tta_model = dict(type='mmdet_kpheads.FlipAverage')\ntta_pipeline = {{_base_.test_pipeline}}\n"
    )
    test.main(['average.py', checkpoint(), '--work-dir', 'averaged', '--tta'])
    assert 'coco/bbox_mAP_50' in figures('averaged')


@pytest.mark.parametrize(
    ('name', 'wrapper'),
    [('cornernet/cornernet_r18_custom.py', 'FlipJoin'), ('centernet/centernet_r18_custom.py', 'FlipAverage')],
)
def test_flip_tta_of_the_network_input_keeps_the_pipeline(name, wrapper):
    cfg = Config.fromfile(configs_root() / name)
    plain = deepcopy(cfg.test_dataloader.dataset.pipeline)
    test.use_tta(cfg)
    assert cfg.model.type == f'mmdet_kpheads.{wrapper}' and cfg.test_dataloader.dataset.pipeline == plain


def test_voc_format_trains_and_reports_both_metrics(capsys):
    text = (configs_root() / 'centernet/centernet_r18_custom-voc.py').read_text()
    text = text.replace("('first', 'second')", str(CLASSES))
    Path('voc.py').write_text(text.replace('data/mine/VOC2007/', 'data/digits/VOC2007/'))
    small = ['model.backbone.base_channels=8', 'model.neck.in_channels=64', 'model.neck.num_deconv_filters=(8,8,64)']
    alone = [
        f'{split}_dataloader.{key}'
        for split in ('train', 'val')
        for key in ('num_workers=0', 'persistent_workers=False')
    ]
    train.main(['voc.py', '--cfg-options', *SHORT, *small, *alone, 'load_from=None'])
    log = next(Path('work_dirs/voc').glob('*/*.log')).read_text()
    assert 'pascal_voc/mAP' in log and 'coco/bbox_mAP' in log and '| seven |' in log
    *_, best, following, report = capsys.readouterr().out.splitlines()
    found = re.fullmatch(r'best pascal_voc/mAP: 0\.\d{3} in (.*/best_pascal_voc_mAP_epoch_1\.pth)', best)
    assert found and Path(found[1]).is_file()
    assert following.startswith(f'next: mmdet-kpheads test voc.py {found[1]} --show-dir visualizations --cfg-options ')
    assert following.endswith(' load_from=None') and ' model.neck.in_channels=64 ' in following  # or it would not fit
    assert report.split() == ['mmdet-kpheads', 'report', 'work_dirs/voc']  # which has the config as it was trained


def data_option(key, value, split='train'):
    return ['--cfg-options', f'{split}_dataloader.dataset.{key}={value}']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere.py'], 'config not found: nowhere'),
        ([CONFIG, *data_option('ann_file', 'no.json')], r'annotation file not found: .*no\.json'),
        ([CONFIG, *data_option('ann_file', 'no.json', 'val')], r'annotation file not found: .*no\.json'),
        ([CONFIG, *data_option('data_prefix.img', 'no')], 'image folder not found'),
        ([CONFIG, *data_option('metainfo.classes', 'zero')], "classes is the string 'zero'"),
        ([CONFIG, *data_option('metainfo.classes', 'nil,one')], r"not found there: \('nil'\)"),
        ([CONFIG, '--cfg-options', 'model.bbox_head.num_classes=3'], r'CenterNetHead has num_classes 3; .* 10 classes'),
        ([CONFIG, '--resume', 'no.pth'], r'checkpoint not found: no\.pth'),
        ([CONFIG, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr={}'], 'auto_scale_lr.base_batch_size'),
    ],
)
def test_bad_input_of_a_training_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        train.main(arguments)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['no.pth'], r'checkpoint not found: no\.pth'),
        (['no.pth', '--out', 'found.txt'], r'--out must end in \.pkl'),
        (['data/digits/annotations/val.json', *data_option('ann_file', 'no', 'test')], 'annotation file not found'),
    ],
)
def test_bad_input_of_a_test_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        test.main([CONFIG, *arguments])


def test_format_only_is_for_datasets_without_annotations():
    assert test.format_only({'type': 'CocoMetric', 'format_only': True})
    assert not test.format_only([{'type': 'CocoMetric', 'format_only': True}, {'type': 'VOCMetric'}])


def test_check_dataset_counts_and_draws(capsys):
    assert not check_dataset.main([CONFIG, '--show-dir', 'checked', '--number', '2'])
    text = capsys.readouterr().out
    assert '8 images' in text and 'zero: ' in text and 'share class and center cell at stride 4' in text
    drawn = [cv2.imread(str(path)) for path in Path('checked').glob('*.png')]
    assert len(drawn) == 2
    for pair in drawn:
        assert pair is not None
        boxes, heat = pair[:, :384], pair[:, -384:]  # 64 px enlarged, and a gap between both
        assert pair.shape == (384, 2 * 384 + 4, 3)
        assert heat[..., 2].max() > boxes[..., 2].mean() and abs(boxes.astype(int) - heat.astype(int)).mean() > 5


@pytest.mark.parametrize('options', [(), ('--skip-images',)])
def test_check_dataset_draws_no_image_of_an_absurd_size(options, capsys, tmp_path):
    path = Path('data/digits/annotations/train.json')
    content = path.read_text()
    wrong = json.loads(content)
    wrong['images'][0].update(width=10**9)
    wrong['images'][1].update(width=10**6, height=10**6)
    try:
        path.write_text(json.dumps(wrong))
        assert check_dataset.main([CONFIG, '--show-dir', str(tmp_path), *options]) == 1
    finally:
        path.write_text(content)
    assert 'image 1: 1000000000' in capsys.readouterr().out
    assert sorted(path.stem for path in tmp_path.iterdir()) == [f'train_{number:05d}' for number in range(2, 8)]


def test_target_map_is_one_at_each_center_and_follows_the_size():
    image = AnnotatedImage(
        Path('x.jpg'), (64, 32), [[8, 8, 24, 24], [40, 4, 56, 20], [float('nan'), 0, 1, 1]], list('abc')
    )
    for longer_side, scale in ((None, 1), (128, 2)):
        heat = check_dataset.target_map(image, 4, longer_side)
        assert heat.shape == (8 * scale, 16 * scale) and heat.max() == 1
        assert heat[4 * scale, 4 * scale] == 1 and heat[3 * scale, 12 * scale] == 1
        assert (heat == 1).sum() == 2


def test_check_dataset_fails_on_what_cannot_be_trained(capsys):
    assert check_dataset.main([CONFIG, *data_option('metainfo.classes', 'nil,one')]) == 1
    assert 'ERROR: class names differ (1)' in capsys.readouterr().out


def test_check_dataset_opens_the_images_unless_told_not_to(capsys):
    path = Path('data/digits', IMAGE_FOLDER, 'train_00001.jpg')
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        assert check_dataset.main([CONFIG]) == 1
        assert f'{path}: cv2 cannot decode it' in capsys.readouterr().out
        assert check_dataset.main([CONFIG, '--skip-images']) == 0
    finally:
        path.write_bytes(content)


def test_gradient_accumulation_and_ema_with_fast(monkeypatch):
    """Both are mmengine's and enabled by config alone; the EMA weights are saved and tested; all in float32."""
    bfloat16_is_native(monkeypatch, True)
    average = "dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True, priority=49)"
    checks = ("dict(type='mmdet_kpheads.ClassCheckHook')", "dict(type='mmdet_kpheads.GroundTruthCheckHook')")
    hooks = f'custom_hooks = [{", ".join((*checks, average))}]'
    Path('ema.py').write_text(f"_base_ = '{configs_root() / CONFIG}'\n{hooks}\n")
    options = ['--cfg-options', *SHORT, 'optim_wrapper.accumulative_counts=2']
    train.main(['ema.py', '--work-dir', 'ema', '--fast', *options])
    saved = torch.load('ema/epoch_1.pth', weights_only=True)
    name = 'bbox_head.heatmap_head.0.weight'
    plain, average = saved['state_dict'][name], saved['ema_state_dict'][f'module.{name}']
    assert plain.dtype == average.dtype == torch.float32 and not torch.equal(plain, average)
    test.main([CONFIG, 'ema/epoch_1.pth', '--work-dir', 'ema_tested'])
    assert 'coco/bbox_mAP_50' in figures('ema_tested')


@pytest.mark.parametrize('head', ['cornernet', 'autoassign'])
def test_other_heads_train_and_test(head):
    config, work_dir = f'demo/{head}_digits.py', f'work_dirs/{head}_digits'
    train.main([config, '--cfg-options', *SHORT])
    trained, all_boxes = (Path(work_dir) / 'last_checkpoint').read_text(), 'model.test_cfg.score_thr=0.0'
    test.main([config, trained, '--work-dir', f'tested_{head}', '--cfg-options', all_boxes])
    assert 'coco/bbox_mAP_50' in figures(f'tested_{head}')


@pytest.mark.parametrize('head', ['centernet', 'cornernet', 'autoassign'])
def test_a_loss_that_is_not_finite_is_one_line_with_its_images(head, capfd):
    options = ['--cfg-options', *SHORT, 'optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None']
    assert subcommands.main(['train', f'demo/{head}_digits.py', '--work-dir', f'diverged_{head}', *options]) == 3
    (line,) = capfd.readouterr().err.splitlines()
    image = r'\S*train_\d+\.jpg'
    cause = rf'loss, \w.* not finite at iteration 2, images {image}(, {image}){{3}}'
    assert re.fullmatch(f'error: {cause}; no checkpoint was saved', line)
    assert not list(Path(f'diverged_{head}').rglob('*.pth'))


@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_one_line_with_the_last_good_checkpoint():
    options = ['--work-dir', 'limited', '--cfg-options', *SHORT[1:]]
    train.main([CONFIG, *options, 'train_cfg.max_epochs=1'])
    size = Path('limited/epoch_1.pth').stat().st_size // 2
    seen = subprocess.run(
        [sys.executable, '-m', 'mmdet_kpheads', 'train', CONFIG, '--resume', *options, 'train_cfg.max_epochs=2'],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        env=os.environ | {'PYTHONPATH': str(TOOLS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert seen.returncode == 3 and 'Traceback' not in seen.stdout + seen.stderr, seen.stderr[-3000:]
    reason, checkpoint = r'OSError: \[Errno 27\] File too large: .*', r'limited/epoch_1\.pth'
    assert re.search(rf'^error: {reason}; last good checkpoint: {checkpoint}; go on with --resume$', seen.stderr, re.M)
    assert sorted(path.name for path in Path('limited').glob('*.pth*')) == ['epoch_1.pth']  # and nothing half written


@pytest.mark.filterwarnings('always::mmdet_kpheads.errors.KpheadsWarning')
def test_a_warning_of_ours_reaches_the_terminal(capfd, monkeypatch):
    """Its place is in mmengine, which builds the head, and what mmengine's files warn of is for the log file."""
    monkeypatch.setattr(logging, 'raiseExceptions', False)  # of handlers of earlier tests, whose streams are closed
    options = ['--cfg-options', *SHORT, 'model.bbox_head.center_sampling=True']
    assert subcommands.main(['train', 'demo/autoassign_digits.py', '--work-dir', 'warned', *options]) == 0
    assert (
        capfd.readouterr().err == "KpheadsWarning: AutoAssignHead ignores ['center_sampling'], arguments of FCOSHead\n"
    )


def test_what_autoassign_learned_is_drawn():
    train.main(['demo/autoassign_digits.py', '--work-dir', 'learned', '--cfg-options', *SHORT])
    trained = Path('learned/last_checkpoint').read_text()
    show_assignment.main(['demo/autoassign_digits.py', trained, '--image', '1', '--out', 'seen'])
    prior, weights = (cv2.imread(f'seen/{name}.png') for name in ('center_prior', 'positive_weights'))
    assert prior is not None and weights is not None
    assert prior.shape[1] > prior.shape[0] and prior.std() > 20
    assert weights.shape == (384, 4 * 384 + 3 * 4, 3)  # the image and three levels, enlarged
    image, finest = weights[:, :384], weights[:, 388 : 2 * 384 + 4]
    assert abs(image.astype(int) - finest.astype(int)).mean() > 10


def test_the_shorter_side_of_the_drawing_is_enlarged():
    image, instances = np.zeros((64, 400, 3), np.uint8), SimpleNamespace(bboxes=np.array([[8, 8, 40, 40]]), labels=[0])
    padded = torch.ones(16, 50)
    pictures = show_assignment.weight_pictures(image, instances, [padded], [8], ('a',))
    assert [picture.shape for picture in pictures] == [(384, 2400, 3)] * 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((CONFIG, 'found.pkl'), 'has a CenterNetHead: only AutoAssignHead learns a prior'),
        (('demo/autoassign_digits.py', 'nowhere.pth'), 'checkpoint not found: nowhere.pth'),
    ],
)
def test_bad_input_of_the_drawing_is_named(arguments, message):
    Path('found.pkl').touch()
    with pytest.raises(InputError, match=message):
        show_assignment.main(list(arguments))


@pytest.mark.parametrize(
    ('tool', 'subcommand'),
    [
        ('init', 'init'),
        ('train', 'train'),
        ('test', 'test'),
        ('predict', 'predict'),
        ('report', 'report'),
        ('check_dataset', 'check-dataset'),
        ('make_digits', 'make-digits'),
        ('demo', 'demo'),
        ('show_assignment', 'show-assignment'),
        ('convert_checkpoint', 'convert'),
    ],
)
def test_tools_are_the_subcommands(tool, subcommand, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(sys, 'argv', [tool, '--help'])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')
    assert not stopped.value.code and f'usage: mmdet-kpheads {subcommand} ' in capsys.readouterr().out


def test_tool_prints_one_line_without_traceback(tmp_path):
    command = [sys.executable, str(TOOLS / 'train.py'), 'nowhere.py']
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith('error: config not found: nowhere.py')
    assert 'Traceback' not in result.stderr


def test_demo_stops_if_a_subcommand_fails(tmp_path):
    with pytest.raises(InputError, match=r'mmdet-kpheads train stopped with exit code 2'):
        demo.call_subcommand('train', tmp_path, 'nowhere.py')


def test_demo_ends_with_what_it_made(tmp_path, monkeypatch, capsys):
    calls = []

    def call(name, folder, *arguments):
        calls.append([name, *arguments])
        checkpoint = folder / 'work_dirs/autoassign_digits/last_checkpoint'
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text('last.pth')

    monkeypatch.setattr(demo, 'call_subcommand', call)
    monkeypatch.setattr(demo, 'write_digits', lambda *_: None)
    monkeypatch.setattr(demo.mmengine, 'load', lambda path: [])
    monkeypatch.setattr(demo, 'draw_predictions', lambda found, folder, data, threshold: folder / 'montage.png')
    monkeypatch.setattr(demo, 'read_metrics', lambda folder: {'coco/bbox_mAP_50': 0.9, 'coco/bbox_mAP': 0.7})
    demo.main(['--folder', str(tmp_path)])
    assert [call[0] for call in calls] == ['train', 'test', 'predict', 'export', 'report']
    assert calls[2][-1] == str(demo.SCORE_THRESHOLDS['autoassign'])
    took, ap, *made = capsys.readouterr().out.splitlines()[-7:]
    assert 'took 0 s' in took and ap == 'COCO AP50 0.900, AP 0.700 on 300 validation images'
    names = ['last.pth', 'visualizations/autoassign/montage.png', 'predictions/autoassign', 'autoassign_digits.onnx']
    names += ['work_dirs/autoassign_digits/report.html']
    assert [line.rpartition(': ')[2] for line in made] == [str(tmp_path / name) for name in names]


def test_demo_names_a_missing_package_before_it_trains(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(InputError, match=r'onnxruntime is not installed: pip install "mmdet-kpheads\[demo\]"'):
        demo.main([])


@pytest.mark.parametrize('installed', [False, True])
def test_demo_calls_the_package_also_from_a_checkout_that_is_not_installed(installed, tmp_path, monkeypatch):
    calls: list[tuple] = []

    def fake(command, cwd, env, check):
        calls.append((command, cwd, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(demo.subprocess, 'run', fake)
    monkeypatch.setenv('PYTHONPATH', 'mine')
    if installed:  # as from a wheel: the configs are inside the package
        monkeypatch.setattr(demo, 'configs_root', lambda: demo.PACKAGE_ROOT / '.mim' / 'configs')
    demo.call_subcommand('test', tmp_path, 'x.py', 'w.pth')
    ((command, cwd, environment),) = calls
    assert command == [sys.executable, '-m', 'mmdet_kpheads_cli', 'test', 'x.py', 'w.pth'] and cwd == tmp_path
    root = str(demo.PACKAGE_ROOT.parent)
    assert environment['PYTHONPATH'] == ('mine' if installed else os.pathsep.join(['mine', root]))
