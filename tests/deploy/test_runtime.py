"""The runtime prepares images as mmdet does, gives boxes in the image's own pixels, and needs no torch."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmdet_kpheads.cli.export import build
from mmdet_kpheads.deploy import OnnxDetector, runtime
from mmdet_kpheads.deploy.input_rule import input_rule
from mmdet_kpheads.deploy.verification import difference
from mmdet_kpheads.errors import InputError
from tests.deploy.conftest import config_of

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')
CENTER = dict(
    type='RandomCenterCropPad', ratios=None, border=None, to_rgb=True, test_mode=True, mean=[1, 2, 3], std=[1, 1, 1]
)
PIPELINES = {
    'resized': ([LOAD, dict(type='Resize', scale=(160, 96), keep_ratio=True), PACK], (48, 80)),
    'portrait': ([LOAD, dict(type='Resize', scale=(128, 96), keep_ratio=True), PACK], (64, 48)),
    'stretched': ([LOAD, dict(type='Resize', scale=(128, 96), keep_ratio=False), PACK], (50, 90)),
    'centered': (
        [
            dict(LOAD, to_float32=True),
            dict(type='Resize', scale=(100, 100), keep_ratio=True),
            dict(CENTER, test_pad_mode=['logical_or', 31], test_pad_add_pix=1),
            PACK,
        ],
        (63, 97),
    ),
    'on a square': ([dict(LOAD, to_float32=True), dict(CENTER, test_pad_mode=['size_divisor', 128]), PACK], (61, 100)),
}


def preprocessor(rgb=True, **options):
    statistics = dict(mean=[123.0, 116.0, 103.0], std=[58.0, 57.0, 56.0])
    return DetDataPreprocessor(**statistics, bgr_to_rgb=rgb, **options)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize('rgb', [True, False], ids=['rgb', 'bgr'])
@pytest.mark.parametrize('name', PIPELINES)
def test_the_input_is_that_of_the_test_pipeline(name, rgb, tmp_path, mmdet_scope):
    pipeline, size = PIPELINES[name]
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, noise(*size))
    sample = Compose(pipeline)(dict(img_path=path, img_id=0))
    prepared = preprocessor(rgb)
    wanted = prepared(dict(inputs=[sample['inputs']], data_samples=None))['inputs'].numpy()
    rule = input_rule(pipeline, prepared, (256, 256), dynamic=True)
    images, placement = runtime.network_input(cv2.imread(path), rule)
    assert images.dtype == np.float32 and images.shape == wanted.shape
    normalized = (images - prepared.mean.numpy()) / prepared.std.numpy()
    np.testing.assert_allclose(normalized, wanted, atol=1e-6)
    assert tuple(placement.scale) == pytest.approx(sample['data_samples'].metainfo.get('scale_factor', (1, 1)))


def test_what_is_smaller_than_the_input_is_padded_after_the_image():
    rule = input_rule([LOAD, PACK], preprocessor(pad_value=0), (64, 96), dynamic=False)
    images, placement = runtime.network_input(noise(128, 64), rule)
    assert placement == runtime.Placement((0.5, 0.5), (0, 0), (64, 32))
    assert (images[0, :, :, 32:] == np.array([123, 116, 103], np.float32)[:, None, None]).all()


def test_a_narrow_image_keeps_a_pixel():
    rule = input_rule(
        [LOAD, dict(type='Resize', scale=(64, 64), keep_ratio=True), PACK], preprocessor(), (64, 64), False
    )
    _, placement = runtime.network_input(noise(1, 800), rule)
    assert placement.size == (1, 64)


def test_boxes_return_to_the_image_and_are_clipped_to_it():
    placement = runtime.Placement((0.5, 2.0), (10, 20), (100, 50))
    boxes = np.float32([[15, 30, 60, 120], [-5, -5, 500, 500]])
    expected = [[10, 5, 100, 50], [0, 0, 100, 50]]
    np.testing.assert_allclose(runtime.image_boxes(boxes, placement), expected)


@pytest.mark.parametrize(
    ('pipeline', 'size', 'dynamic', 'message'),
    [
        (
            [LOAD, dict(type='Resize', scale_factor=2.0)],
            None,
            False,
            r"has \{'type': 'Resize', .* export does not know",
        ),
        ([dict(type='LoadImageFromFile', color_type='grayscale')], None, False, 'does not know'),
        ([LOAD, PACK], None, False, 'say one with --size HEIGHT WIDTH'),
        ([LOAD, PACK], (100, 128), True, 'positive multiples of 32, but is'),
        ([LOAD, PACK], (0, 128), False, 'positive multiples of 1, but is'),
        ([LOAD, dict(CENTER, test_pad_mode=['logical_or', 127])], None, True, 'pads to sizes that 128 does not divide'),
    ],
)
def test_what_the_runtime_cannot_do_is_named(pipeline, size, dynamic, message):
    with pytest.raises(InputError, match=message):
        input_rule(pipeline, preprocessor(), size, dynamic)


@pytest.mark.parametrize(
    ('scale', 'keep_ratio', 'dynamic', 'size'),
    [
        ((1333, 800), True, False, [800, 1344]),
        ((1333, 800), True, True, [1344, 1344]),
        ((512, 384), False, True, [384, 512]),
    ],
)
def test_the_size_is_that_of_the_pipeline(scale, keep_ratio, dynamic, size):
    pipeline = [LOAD, dict(type='mmdet.Resize', scale=scale, keep_ratio=keep_ratio), PACK]
    assert input_rule(pipeline, preprocessor(), None, dynamic)['size'] == size


def test_an_image_gives_what_mmdet_gives_for_its_path(exported, checkpoints, tmp_path):
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, cv2.resize(noise(16, 24), (96, 64)))
    cfg = Config.fromfile(config_of('centernet'))
    with DefaultScope.overwrite_default_scope('mmdet'), torch.no_grad():
        model = build(cfg, str(checkpoints / 'centernet.pth'), 'auto')
        load, _, pack = cfg.test_dataloader.dataset.pipeline
        sample = Compose([load, pack])(dict(img_path=path, img_id=0))
        batch = {
            'inputs': [sample['inputs']],
            'data_samples': [DetDataSample(metainfo=sample['data_samples'].metainfo)],
        }
        expected = model.test_step(batch)[0].pred_instances
    found = OnnxDetector(exported('centernet', '--dynamic'))(path)
    assert found.names == [chr(ord('a') + label) for label in found.labels]
    assert not difference(expected, *found[:3]).unpaired and len(found.boxes) == 20


def test_the_file_runs_alone_without_torch(exported, images):
    model = exported('centernet', '--dynamic')
    blocked = 'sys.modules.update(dict.fromkeys(("torch", "mmdet_kpheads", "mmdet", "mmengine", "mmcv", "onnx")))'
    script = f'import runpy, sys; {blocked}; runpy.run_path(sys.argv.pop(1), run_name="__main__")'
    command = [sys.executable, '-c', script, runtime.__file__, str(model), images[0]]
    seen = subprocess.run(command, capture_output=True, text=True, check=True)
    scores = [float(line.split()[1]) for line in seen.stdout.splitlines()]
    np.testing.assert_allclose(scores, OnnxDetector(model)(images[0]).scores, atol=6e-4)


def test_as_a_script_it_prints_lines(exported, images, tmp_path, capsys):
    model = str(exported('centernet', '--dynamic'))
    runtime.main([model, images[0]])
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(re.fullmatch(r'[a-j] [01]\.\d{3}( \d+\.\d){4}', line) for line in lines), lines
    for arguments, message in (
        ([model], r'usage: python runtime\.py MODEL\.onnx IMAGE'),
        ([model, 'none.jpg'], r'error: image not found: none\.jpg'),
        (['none.onnx', images[0]], r'error: none\.onnx cannot be run: '),
    ):
        with pytest.raises(SystemExit, match=message):
            runtime.main(arguments)


def test_bad_inputs_are_named(exported, tmp_path, capfd):
    onnx = pytest.importorskip('onnx')
    detector = OnnxDetector(exported('centernet', '--dynamic'))
    with pytest.raises(ValueError, match=r'image not found: .*none\.jpg'):
        detector(tmp_path / 'none.jpg')
    (tmp_path / 'text.jpg').write_text('no pixels')
    with pytest.raises(ValueError, match=r'text\.jpg is not a readable image'):
        detector(tmp_path / 'text.jpg')
    assert not capfd.readouterr().err
    with pytest.raises(ValueError, match=r'must have the shape \(H, W, 3\), but got \(4, 4\)'):
        detector(np.zeros((4, 4), np.uint8))
    model = onnx.load(exported('centernet', '--dynamic'))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'bare.onnx')
    with pytest.raises(ValueError, match=r"bare\.onnx has no metadata 'mmdet_kpheads'"):
        OnnxDetector(Path(tmp_path / 'bare.onnx'))
