"""Untrained narrow detectors, exported once per head for several batch sizes and input sizes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdet_kpheads import compat
from mmdet_kpheads.cli import export
from mmdet_kpheads.compat.config_bases import configs_root

HEADS = ('centernet', 'autoassign', 'cornernet')
SIZE = 128  # of the largest input


def config_of(head):
    return str(configs_root() / f'demo/{head}_digits.py')


@pytest.fixture(scope='session', autouse=True)
def installed():
    compat.install()


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """Paths of smooth noise: a landscape, a portrait and a square image."""
    folder, random = tmp_path_factory.mktemp('images'), np.random.default_rng(0)
    paths = []
    for height, width in ((70, 100), (128, 60), (90, 90)):
        noise = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        paths.append(str(folder / f'{height}.png'))
        cv2.imwrite(paths[-1], cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
    return paths


def save_checkpoint(config, path):
    """Random weights with which each head finds twenty boxes or more."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(config).model)
    for name, parameter in model.bbox_head.named_parameters():
        if '_emb.' in name:
            torch.nn.init.zeros_(parameter)  # every pair of corners has close tags
        elif parameter.dim() == 4:
            torch.nn.init.normal_(parameter, std=0.1)
        elif 'wh_head' in name:
            torch.nn.init.constant_(parameter, 5.0)
        elif name.endswith('conv_cls.bias'):
            torch.nn.init.zeros_(parameter)
    meta = {'dataset_meta': {'classes': tuple('abcdefghij'[: model.bbox_head.num_classes])}}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, path)


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory):
    """A checkpoint of each head."""
    folder = tmp_path_factory.mktemp('checkpoints')
    for head in HEADS:
        save_checkpoint(config_of(head), folder / f'{head}.pth')
    return folder


@pytest.fixture(scope='session')
def exported(checkpoints, tmp_path_factory):
    """Exports with the command, and returns the path; equal arguments run once."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    folder = tmp_path_factory.mktemp('exported')
    files: dict[tuple, Path] = {}

    def run(head, *arguments):
        key = (head, *arguments)
        if key not in files:
            path = folder / f'{len(files)}.onnx'
            size = ('--size', str(SIZE), str(SIZE))
            export.main([config_of(head), str(checkpoints / f'{head}.pth'), '--out', str(path), *size, *arguments])
            files[key] = path
        return files[key]

    return run
