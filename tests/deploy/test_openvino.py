"""OpenVINO computes what ONNX Runtime computes of an exported file; optional, skipped where it is not installed."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.verification import difference
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
