"""mmdet-kpheads test --onnx: the metrics of an exported file are those of its checkpoint."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from mmengine import load
from mmengine.config import Config

from mmdet_kpheads.cli.test import use_onnx
from mmdet_kpheads.data.annotations import AnnotatedImage
from mmdet_kpheads.data.coco_writer import coco_dict
from mmdet_kpheads.data.digits import CLASSES
from mmdet_kpheads.inference import Predictor, load_model
from mmdet_kpheads_cli.subcommands import main
from tests.deploy.conftest import HEADS, config_of

SIZES = ((64, 96), (128, 64), (96, 96), (32, 128))  # whole multiples of 32: torch has no padding to leave out
VOC = """
_base_ = 'mmdet_kpheads::demo/{head}_digits.py'
pipeline = _base_.test_dataloader.dataset.pipeline
data = dict(type='XMLDataset', ann_file='val.txt', data_prefix=dict(sub_data_root=''), pipeline=pipeline,
            img_subdir='', ann_subdir='', test_mode=True, metainfo=dict(classes=_base_.classes))
test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                       dataset=dict(_delete_=True, **data))
test_evaluator = dict(_delete_=True, type='VOCMetric', metric='mAP', eval_mode='area')
"""


def write_ground_truth(head, checkpoint, folder):
    """Images of noise whose objects are what the detector finds in them, some of them moved; COCO and VOC."""
    random, annotated = np.random.default_rng(0), []
    predict = Predictor(load_model(config_of(head), str(checkpoint), 'cpu'))
    for index, (height, width) in enumerate(SIZES):
        noise = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        path = folder / f'{index}.jpg'
        cv2.imwrite(str(path), cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
        (found,) = predict([cv2.imread(str(path))])
        found = found[(found.bboxes[:, 2:] - found.bboxes[:, :2]).min(1) > 8][::2]
        boxes = found.bboxes + random.choice([0, 0, 1, 3], (len(found.bboxes), 1))
        annotated.append(AnnotatedImage(path, (width, height), boxes.tolist(), [CLASSES[i] for i in found.labels]))
        root = ElementTree.Element('annotation')
        for box, name in zip(boxes, annotated[-1].names, strict=True):
            item = ElementTree.SubElement(root, 'object')
            ElementTree.SubElement(item, 'name').text = name
            ElementTree.SubElement(item, 'difficult').text = '0'
            corners = ElementTree.SubElement(item, 'bndbox')
            for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True):
                ElementTree.SubElement(corners, key).text = str(value + 1)
        ElementTree.ElementTree(root).write(path.with_suffix('.xml'))
    (folder / 'val.txt').write_text('\n'.join(image.path.stem for image in annotated))
    (folder / 'val.json').write_text(json.dumps(coco_dict(annotated, CLASSES, folder)))
    (folder / 'voc.py').write_text(VOC.format(head=head))


def coco_options(folder):
    return [
        *('--cfg-options', 'test_dataloader.batch_size=1', f'test_dataloader.dataset.data_root={folder}/'),
        *('test_dataloader.dataset.ann_file=val.json', 'test_dataloader.dataset.data_prefix.img='),
        f'test_evaluator.ann_file={folder}/val.json',
    ]


def figures(work_dir):
    found = json.loads(max(Path(work_dir).glob('*/*.json')).read_text())
    return {name: value for name, value in found.items() if re.match('coco|pascal', name)}


def both(config, checkpoint, file, options):
    """The metrics of a checkpoint and of a file."""
    for work_dir, detector in (('torch', [str(checkpoint)]), ('onnx', ['--onnx', str(file)])):
        assert main(['test', str(config), *detector, '--work-dir', work_dir, *options]) == 0
    return figures('torch'), figures('onnx')


@pytest.mark.parametrize('head', [*HEADS[:2], pytest.param(HEADS[2], marks=pytest.mark.slow)])
def test_coco_metrics_are_those_of_the_checkpoint(head, exported, checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint = checkpoints / f'{head}.pth'
    write_ground_truth(head, checkpoint, tmp_path)
    in_torch, in_onnx = both(config_of(head), checkpoint, exported(head, '--dynamic'), coco_options(tmp_path))
    assert 0.1 < in_torch['coco/bbox_mAP'] < 0.95
    assert in_onnx == pytest.approx(in_torch, abs=1e-3)
    printed = capsys.readouterr().out
    assert 'names its classes' in printed and '--nms none' not in printed


def test_a_file_without_nms_is_mentioned(exported, capsys):
    cfg = Config.fromfile(config_of('cornernet'))
    use_onnx(cfg, str(exported('cornernet', '--nms', 'none')))
    assert 'was exported with --nms none, so these are the metrics of boxes that are not' in capsys.readouterr().out


def test_voc_metrics_are_those_of_the_checkpoint(exported, checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    checkpoint = checkpoints / 'centernet.pth'
    write_ground_truth('centernet', checkpoint, tmp_path)
    file, options = exported('centernet', '--dynamic'), ['--show-dir', 'shown', '--out', 'found.pkl']
    in_torch, in_onnx = both('voc.py', checkpoint, file, options)
    assert 0.1 < in_torch['pascal_voc/mAP'] < 0.95
    assert in_onnx == pytest.approx(in_torch, abs=1e-3)
    assert len(load('found.pkl')) == len(SIZES)
    assert len(list(Path('shown').glob('*.jpg'))) == len(SIZES)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'test needs a checkpoint, or an exported file with --onnx'),
        (['a.pth', '--onnx', 'a.onnx'], '--onnx tests the file alone, in one process: leave out checkpoint'),
        (['--onnx', 'a.onnx', '--tta'], '--onnx tests the file alone, in one process: leave out tta'),
    ],
)
def test_one_detector_is_tested(arguments, message, capsys):
    assert main(['test', config_of('centernet'), *arguments]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f'error: {message}'


def test_files_that_cannot_be_tested_are_one_line(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    good, junk, bare = (str(path) for path in (exported('centernet', '--dynamic'), 'junk.onnx', 'bare.onnx'))
    Path(junk).write_text('junk')
    onnx = pytest.importorskip('onnx')
    model = onnx.load(good)
    del model.metadata_props[:]
    onnx.save(model, bare)
    Path('val.json').write_text(json.dumps(coco_dict([], CLASSES)))
    classes = ["test_dataloader.dataset.metainfo.classes=['zero','one']"]
    for file, options, message in (
        ('none.onnx', [], r'error: ONNX file not found: none\.onnx'),
        ('.', [], r'error: \. is a folder'),
        (junk, [], r'error: junk\.onnx cannot be run: .*Protobuf parsing failed'),
        (bare, [], r"error: bare\.onnx has no metadata 'mmdet_kpheads': write it with mmdet-kpheads export"),
        (good, classes, r"has 10 classes \('a', .*\), but the test set of .*digits\.py has 2 \('zero', 'one'\)"),
    ):
        arguments = ['test', config_of('centernet'), '--onnx', file, *coco_options('.'), *options]
        assert main([*arguments, 'test_evaluator.format_only=True']) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert re.search(message, line)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert main([*arguments[:4], *coco_options('.'), 'test_evaluator.format_only=True']) == 2
    assert 'onnxruntime is not installed: pip install "mmdet-kpheads[export]"' in capsys.readouterr().err
