"""Whole inference of one image by the templates for custom datasets: torch, and their exported file in other runtimes.

From pixels in the network's size to boxes, in float32, with random weights. Run by itself; OpenVINO where it is there.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdet_kpheads import compat
from mmdet_kpheads.deploy import OnnxDetector
from mmdet_kpheads.deploy.files import Export, write
from mmdet_kpheads.deploy.graph import DetectorGraph
from mmdet_kpheads.deploy.verification import predict

from .contract import Call, timed_in_turn
from .steps import build, recipe

TEMPLATES = {
    f'{name}-R18': f'{name.lower()}/{name.lower()}_r18_custom.py' for name in ('CenterNet', 'CornerNet', 'AutoAssign')
}
EAGER = 'eager torch'
CPU = torch.device('cpu')
COLUMNS = ['ms per image', EAGER, 'torch.compile', 'ONNX Runtime', 'OpenVINO']


def detector(config: str, backend: str) -> Any:
    """The detector of a template, in which AutoAssign's candidates are all above the score threshold."""
    cfg = recipe(config, None)
    cfg.model.bbox_head.backend = backend
    model = build(cfg, CPU).eval()
    for name, parameter in model.bbox_head.named_parameters():
        if name == 'conv_cls.bias':
            torch.nn.init.zeros_(parameter)
    return model


def in_torch(config: str, compiled: bool, images: np.ndarray) -> Call:
    """The call of a detector; compiled: the network without decoding and NMS."""
    model = detector(config, 'auto')
    if compiled:
        model.extract_feat = torch.compile(model.extract_feat)
        model.bbox_head.forward = torch.compile(model.bbox_head.forward)
    return partial(predict, model, images, 'rgb')


def in_runtimes(path: Path, images: np.ndarray) -> Iterator[tuple[str, Call]]:
    """The call of a file in each runtime."""
    yield 'ONNX Runtime', partial(OnnxDetector(path).run, images)
    if find_spec('openvino'):
        from openvino import Core

        compiled = Core().compile_model(str(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
        yield 'OpenVINO', lambda: compiled([images])


def rows(_: torch.device) -> Iterator[dict[str, Any]]:
    """Each template on the CPU; ratios are against eager torch."""
    compat.install()  # finds the bases of the templates
    with tempfile.TemporaryDirectory() as folder:
        for name, config in TEMPLATES.items():
            width, height = recipe(config, None).image_size
            images = np.random.default_rng(0).integers(0, 256, (1, 3, height, width)).astype(np.float32)
            path = Path(folder, f'{name}.onnx')
            metadata = {'size': [height, width], 'dynamic': False, 'classes': []}
            write(Export(DetectorGraph(detector(config, 'export')).eval(), metadata), path)
            calls = {EAGER: in_torch(config, False, images), 'torch.compile': in_torch(config, True, images)}
            calls |= in_runtimes(path, images)
            sides = dict(zip(calls, timed_in_turn(list(calls.values()), CPU), strict=True))
            size = f'1 image of {height} x {width}'
            for runtime, side in sides.items():
                row: dict[str, Any] = {'what': f'{name}, {runtime}', 'size': size, 'ours': side}
                if runtime != EAGER:
                    eager = sides[EAGER]
                    row |= {
                        'mmdet': eager,
                        'ratio': eager['median_ms'] / side['median_ms'],
                        'note': 'mmdet: eager torch',
                    }
                yield row


def table(found: list[dict[str, Any]]) -> list[list[str]]:
    """Lines of docs/export.md: a detector per line, a runtime per column."""
    medians = {row['what']: f'{row["ours"]["median_ms"]:.0f}' for row in found}
    return [[name, *(medians.get(f'{name}, {runtime}', '') for runtime in COLUMNS[1:])] for name in TEMPLATES]
