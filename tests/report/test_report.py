"""The command from a work dir to a page: its numbers are those of ``mmdet-kpheads test``, for each head and format.

The networks have random weights; what they predict is replaced by the objects, moved at random, so that AP is not 0.
"""

import base64
import functools
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmdet_kpheads.cli import make_digits, report, test
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads.data.digits import CLASSES
from mmdet_kpheads.errors import InputError
from mmdet_kpheads.report import write_report
from mmdet_kpheads.report.writing import chosen_split
from tests.report.browser import checked_page, seen_by_browser

pytest.importorskip('sklearn')

SMALL = {  # the template for VOC in the size of the others
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': 64,
    'model.neck.num_deconv_filters': (8, 8, 64),
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
}
CONFIGS = {
    'centernet': 'demo/centernet_digits.py',
    'cornernet': 'demo/cornernet_digits.py',
    'autoassign': 'demo/autoassign_digits.py',
    'voc': 'voc.py',
}
SCALARS = [
    {'lr': 0.1, 'loss': 3.0, 'loss_wh': 1.0, 'grad_norm': 2.0, 'epoch': 1, 'step': 10},
    {'coco/bbox_mAP': 0.1, 'coco/bbox_mAP_l': -1.0, 'time': 0.1, 'step': 1},
    {'lr': 0.1, 'loss': 2.0, 'loss_wh': 0.5, 'grad_norm': 1.0, 'epoch': 2, 'step': 20},
]


def work_dir_of(name, path):
    """What a training leaves: a config, a checkpoint and scalars."""
    cfg = Config.fromfile(path)
    cfg.randomness = dict(seed=7)
    cfg.merge_from_dict(SMALL if name == 'voc' else {})
    work_dir = Path('work_dirs', name)
    (work_dir / '20260101_000000/vis_data').mkdir(parents=True)
    cfg.dump(work_dir / Path(path).name)
    init_default_scope('mmdet')
    meta = dict(dataset_meta=dict(classes=CLASSES), seed=7, epoch=2, iter=20, mmengine_version='0.0', time='now')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=meta, optimizer={}), work_dir / 'epoch_2.pth')
    scalars = '\n'.join(json.dumps(row) for row in SCALARS)
    (work_dir / '20260101_000000/vis_data/scalars.json').write_text(scalars)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Digits and a work dir per head and format."""
    path = tmp_path_factory.mktemp('report')
    before = os.getcwd()
    os.chdir(path)
    make_digits.main(['data/digits', '--num-train', '1', '--num-val', '8', '--size', '64'])
    text = (configs_root() / 'centernet/centernet_r18_custom-voc.py').read_text()
    for line, instead in (
        ("('first', 'second')", str(CLASSES)),
        ('data/mine', 'data/digits'),
        ('(512, 512)', '(64, 64)'),
        ("load_from = '", "start = '"),
    ):
        assert line in text
        text = text.replace(line, instead)
    Path('voc.py').write_text(text)
    for name, config in CONFIGS.items():
        work_dir_of(name, config if name == 'voc' else configs_root() / config)
    yield path
    os.chdir(before)


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(autouse=True)
def noisy(monkeypatch):
    """Predictions near the objects, some of another class, some false: the same for an image in every run."""

    def predict(self, inputs, samples, rescale=True):
        for sample in samples:
            digits = int(re.sub(r'\D', '', Path(sample.img_path).stem))
            rng = np.random.default_rng(digits)
            truth = sample.gt_instances
            boxes, labels = torch.as_tensor(truth.bboxes).float(), truth.labels
            moved = boxes + torch.from_numpy(rng.normal(0, 2, boxes.shape)).float()
            false = torch.tensor([[1.0, 1.0, 12.0, 12.0]])
            changed = torch.from_numpy(rng.random(len(labels)) < 0.2)
            labels = torch.where(changed, (labels + 1) % 10, labels)
            sample.pred_instances = InstanceData(
                bboxes=torch.cat((moved, false)),
                scores=torch.from_numpy(rng.random(len(labels) + 1)).float(),
                labels=torch.cat((labels, torch.tensor([3]))),
            )
        return samples

    monkeypatch.setattr(SingleStageDetector, 'predict', predict)


@functools.cache
def page_of(name):
    """The report of a work dir, written once."""
    return write_report(f'work_dirs/{name}', f'of_{name}.html', max_images=2, batch_size=3)


def figures(work_dir):
    return json.loads(max(Path(work_dir).glob('*/*.json')).read_text())


def test_numbers_are_those_of_the_test(capsys):
    for name in ('centernet', 'voc'):
        work_dir = f'work_dirs/{name}'
        config = next(Path(work_dir).glob('*.py'))
        test.main([str(config), f'{work_dir}/epoch_2.pth', '--work-dir', f'tested_{name}'])
        expected = {key: value for key, value in figures(f'tested_{name}').items() if 'time' not in key}
        capsys.readouterr()
        report.main([work_dir, '--out', f'{name}.html'])
        assert capsys.readouterr().out.splitlines()[-1] == f'report: {name}.html'
        page = checked_page(Path(f'{name}.html'))
        rows = re.findall(r'<dt>([^<]*)</dt><dd>([^<]*)</dd>', Path(f'{name}.html').read_text())
        shown = dict(rows)
        assert expected and 0.05 < expected['coco/bbox_mAP'] < 0.95
        for key, value in expected.items():
            assert shown[key] == (f'{value:.3f}' if value > -1 else '-'), key
        tiles = re.findall(r'<b>([^<]*)</b><span>([^<]*)</span>', Path(f'{name}.html').read_text())
        by_name = {text: value for value, text in tiles}
        assert by_name['AP50'] == shown['coco/bbox_mAP_50']
        assert by_name['AP, mean over IoU 0.50 to 0.95'] == shown['coco/bbox_mAP']
        assert shown['seed'] == '7' and 'mmengine_version: 0.0' in shown['trained with']
        assert 'type=&#39;mmdet_kpheads' in Path(f'{name}.html').read_text()  # the config
        assert page.named('img')


@pytest.mark.parametrize('name', ['cornernet', 'autoassign'])
def test_page_of_the_other_heads(name):
    page = checked_page(page_of(name))
    captions = {'cornernet': 'Pairs of corners', 'autoassign': 'Learned center prior'}
    assert captions[name] in page.text and page.text.count('Ground truth') == 2
    for part in ('Training curves', 'Precision over recall', 'Calibration', 'Confusion matrix', 'Worst images'):
        assert part in page.text


def test_browser_loads_every_picture(tmp_path):
    for width in (390, 1280):
        seen = seen_by_browser(page_of('centernet'), tmp_path, width)
        assert seen['failures'] == [] and seen['scripts'] == 0 and seen['images'] == seen['loaded'] >= 15
        assert seen['scroll'] <= seen['width'] <= width
        assert seen['links'] == seen['sections'] and len(seen['sections']) == 9
        assert not [request for request in seen['requests'] if not request.startswith('data:')]


def test_missing_curves_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr('mmdet_kpheads.report.curves.SCALARS', 'nowhere.json')
    page = checked_page(write_report('work_dirs/centernet', tmp_path / 'report.html', max_images=0))
    assert 'has no scalars.json with training steps, so the curves are missing' in page.text
    assert 'Losses' not in page.text


@pytest.mark.parametrize('with_false_ones', [True, False])
def test_a_model_that_finds_nothing(with_false_ones, monkeypatch, tmp_path):
    def predict(self, inputs, samples, rescale=True):
        for sample in samples:
            number = int(with_false_ones)
            boxes, labels = torch.ones(number, 4), torch.zeros(number, dtype=torch.long)
            sample.pred_instances = InstanceData(bboxes=boxes, scores=torch.full((number,), 0.9), labels=labels)
        return samples

    monkeypatch.setattr(SingleStageDetector, 'predict', predict)
    page = checked_page(write_report('work_dirs/centernet', tmp_path / 'report.html', max_images=1))
    assert 'the model has not learned to detect yet' in page.text


def test_a_set_without_objects_is_named(tmp_path):
    document = json.loads(Path('data/digits/annotations/val.json').read_text()) | {'annotations': []}
    (tmp_path / 'empty.json').write_text(json.dumps(document))
    files = [f'test_{key}={tmp_path}/empty.json' for key in ('dataloader.dataset.ann_file', 'evaluator.ann_file')]
    with pytest.raises(InputError, match=r'dataset is empty: .*empty\.json: its 8 images have no annotations'):
        report.main(['work_dirs/centernet', '--cfg-options', *files])


def test_a_set_without_annotations_is_passed_over():
    cfg = Config.fromfile(configs_root() / CONFIGS['centernet'])
    assert chosen_split(cfg, None) == 'test'
    cfg.test_evaluator = dict(type='CocoMetric', format_only=True)
    assert chosen_split(cfg, None) == 'val'
    with pytest.raises(InputError, match='that compares with annotations for test'):
        chosen_split(cfg, 'test')


def test_threshold_of_the_user_changes_confusion_and_not_the_best(tmp_path):
    path = write_report('work_dirs/centernet', tmp_path / 'report.html', max_images=0, score_thr=0.999)
    text = checked_page(path).text
    assert '0.999, chosen with --score-thr' in text and 'at least 0.999' in text
    best = re.search(r'(\d\.\d+)\s*score threshold of the best F1', text)
    assert best and best[1] < '0.999'


def test_ground_truth_is_drawn_on_the_image():
    """The first picture of the worst image is the image itself, enlarged, with boxes."""
    image = next(
        image for image in checked_page(page_of('centernet')).named('img') if image['alt'].startswith('Ground truth of')
    )
    name = image['alt'].removeprefix('Ground truth of ')
    drawn = cv2.imdecode(np.frombuffer(base64.b64decode(image['src'].partition(',')[2]), np.uint8), cv2.IMREAD_COLOR)
    plain = cv2.resize(
        cv2.imread(f'data/digits/VOC2007/JPEGImages/{name}'), drawn.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    changed = np.abs(drawn.astype(int) - plain).max(-1) > 60
    assert 0.005 < changed.mean() < 0.4


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'work dir not found: .*nowhere'),
        (['data'], 'has no config: name it with --config'),
        (['data', '--config', CONFIGS['centernet']], 'has no checkpoint: name one with --checkpoint'),
        (['work_dirs/centernet', '--checkpoint', 'no.pth'], r'checkpoint not found: no\.pth'),
        (['work_dirs/centernet', '--checkpoint', 'voc.py'], r"checkpoint 'voc\.py' cannot be read: it is not a ch"),
        (['work_dirs/centernet', '--checkpoint', 'work_dirs/autoassign/epoch_2.pth'], 'does not fit'),
        (['work_dirs/centernet', '--out', 'data'], r'--out: data is a folder: name a file'),
        (['work_dirs/centernet', '--out', 'voc.py/where.html'], r'--out: voc\.py is not a folder; a part of the path'),
        (['work_dirs/centernet', '--device', 'nothing'], "device 'nothing' cannot be used"),
        (['work_dirs/centernet', '--config', 'nowhere.py'], 'config not found: nowhere'),
        (
            ['work_dirs/centernet', '--cfg-options', 'test_dataloader.dataset.ann_file=no.json'],
            'annotation file not found',
        ),
        (
            ['work_dirs/centernet', '--split', 'val', '--cfg-options', 'val_evaluator=None'],
            'has no dataloader with an evaluator',
        ),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        report.main(arguments)
