"""Exported detectors find what the detectors in torch find."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdet_kpheads.cli import export
from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.verification import difference, predict
from tests.deploy.conftest import HEADS, SIZE, config_of

# the last convolutions of the scores, and of corner offsets, which would leave no box between neighboring corners
ZEROED = re.compile(r'(heatmap_head\.2|conv_cls|conv_centerness|_(heat|off)\.0\.1\.conv)\.(weight|bias)$')


@pytest.fixture(scope='module')
def photos():
    """Crops (3, SIZE, SIZE) of scikit-learn's sample photos, rgb."""
    whole = pytest.importorskip('sklearn.datasets').load_sample_images().images
    crops = [(whole[0], 40, 60), (whole[1], 150, 200), (whole[0], 250, 400)]
    return np.stack([image[y:, x:][:SIZE, :SIZE].transpose(2, 0, 1) for image, y, x in crops]).astype(np.float32)


def in_torch(head, checkpoint):
    return export.build(Config.fromfile(config_of(head)), str(checkpoint), 'auto')


def require_equal(detector, model, inputs, least):
    """The rows of a file are the detections of torch, image by image, at least so many."""
    for wanted, *found in zip(predict(model, inputs, 'rgb'), *detector.run(inputs), strict=True):
        seen = difference(wanted, *found)
        assert seen.expected >= least and not seen.unpaired, str(seen)


@pytest.mark.parametrize('head', HEADS)
def test_batches_and_sizes(head, exported, checkpoints, photos, mmdet_scope):
    detector, model = OnnxDetector(exported(head, '--dynamic')), in_torch(head, checkpoints / f'{head}.pth')
    require_equal(detector, model, photos[:1, :, :64, :64], 5)
    require_equal(detector, model, photos[:, :, 32:96], 5)


@pytest.mark.parametrize('head', HEADS)
def test_an_image_without_objects(head, exported, images, photos):
    few = ('--cfg-options', 'model.test_cfg.score_thr=0.99999', 'model.test_cfg.max_per_img=4')
    detector = OnnxDetector(exported(head, *few))
    boxes, scores, labels = detector.run(photos[:1])
    assert boxes.shape == (1, 4, 4) and labels.dtype == np.int64
    assert not boxes.any() and not scores.any() and (labels == -1).all()
    found = detector(images[0])
    assert found.boxes.shape == (0, 4) and found.names == []


@pytest.mark.parametrize('head', HEADS)
def test_of_equal_scores_the_same_are_found(head, checkpoints, photos, tmp_path, mmdet_scope):
    """The last convolution of the scores is zero: every cell of every class has the score of every other."""
    content = torch.load(checkpoints / f'{head}.pth', weights_only=True)
    for name, weight in content['state_dict'].items():
        if ZEROED.search(name):
            weight.fill_(0.0)
    path, out = tmp_path / 'ties.pth', tmp_path / 'ties.onnx'
    torch.save(content, path)
    options = {'max_per_img': 8, **({} if head == 'autoassign' else {'local_maximum_kernel': 1})}  # each cell a peak
    words = [f'model.test_cfg.{name}={value}' for name, value in options.items()]
    size = ('--size', '64', '128', '--cfg-options', *words)
    assert export.main([config_of(head), str(path), '--out', str(out), *size]) == 0
    detector, inputs = OnnxDetector(out), photos[:1, :, :64]
    assert np.unique(detector.run(inputs)[1], return_counts=True)[1].max() >= 7  # soft-NMS lowers an eighth
    cfg = Config.fromfile(config_of(head))
    cfg.model.test_cfg.update(options)
    require_equal(detector, export.build(cfg, str(path), 'auto'), inputs, 8)
