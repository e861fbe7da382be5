"""OpenVINO computes what ONNX Runtime computes of an exported file; optional, skipped where it is not installed."""

import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.verification import difference
from tests.compat.processes import ROOT
from tests.deploy.conftest import HEADS, SIZE


@pytest.mark.parametrize('head', HEADS)
def test_openvino_agrees_with_onnx_runtime(head, exported):
    openvino = pytest.importorskip('openvino')
    path = exported(head, '--dynamic')
    compiled = openvino.Core().compile_model(str(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    inputs = np.random.default_rng(0).integers(0, 256, (2, 3, SIZE, SIZE)).astype(np.float32)
    found = compiled([inputs])
    rows = [found[compiled.output(name)] for name in ('boxes', 'scores', 'labels')]
    for boxes, scores, labels, *others in zip(*OnnxDetector(path).run(inputs), *rows, strict=True):
        real = labels >= 0
        parts = dict(bboxes=boxes[real], scores=scores[real], labels=labels[real])
        expected = InstanceData(**{name: torch.from_numpy(values) for name, values in parts.items()})
        seen = difference(expected, *others)
        assert seen.expected >= 5 and not seen.unpaired, str(seen)


def test_the_detector_of_the_page_finds_what_onnx_runtime_finds(exported, tmp_path, monkeypatch):
    pytest.importorskip('openvino')
    (block,) = re.findall(r'```python\n(import openvino\n.*?)```', (ROOT / 'docs/export.md').read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported('centernet'), 'model.onnx')
    cv2.imwrite('image.jpg', np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8))
    values: dict = {}
    exec(block.replace('0.3', '0.0'), values)
    expected = OnnxDetector('model.onnx')('image.jpg')
    assert len(expected.names) >= 5 and values['names'] == expected.names
    np.testing.assert_allclose(values['boxes'], expected.boxes, atol=1e-2)
