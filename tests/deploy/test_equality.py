"""Exported detectors find what the detectors in torch find."""

import numpy as np
import pytest
from mmengine.config import Config

from mmdet_kpheads.cli.export import build
from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.verification import difference, predict
from tests.deploy.conftest import HEADS, config_of


@pytest.fixture(scope='module')
def in_torch(checkpoints):
    def model(head):
        cfg = Config.fromfile(config_of(head))
        return build(cfg, str(checkpoints / f'{head}.pth'), 'auto')

    return model


def noise(batch, height, width):
    random = np.random.default_rng(1)
    return random.integers(0, 256, (batch, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize('head', HEADS)
def test_batches_and_sizes(head, exported, in_torch, mmdet_scope):
    detector, model = OnnxDetector(exported(head, '--dynamic')), in_torch(head)
    for inputs in (noise(1, 64, 64), noise(3, 64, 128)):
        rows = detector.run(inputs)
        expected = predict(model, inputs, 'rgb')
        for wanted, *found in zip(expected, *rows, strict=True):
            seen = difference(wanted, *found)
            assert seen.expected >= 5 and not seen.unpaired, str(seen)


@pytest.mark.parametrize('head', HEADS)
def test_an_image_without_objects(head, exported, images):
    few = ('--cfg-options', 'model.test_cfg.score_thr=0.99999', 'model.test_cfg.max_per_img=4')
    detector = OnnxDetector(exported(head, *few))
    boxes, scores, labels = detector.run(noise(1, 128, 128))
    assert boxes.shape == (1, 4, 4) and labels.dtype == np.int64
    assert not boxes.any() and not scores.any() and (labels == -1).all()
    found = detector(images[0])
    assert found.boxes.shape == (0, 4) and found.names == []
