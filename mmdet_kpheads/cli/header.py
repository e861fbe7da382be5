"""What a run is, in a few lines before it starts: versions, model, data, device, and where its files go."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import mmdet
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from ..backends import OF_DEVICE
from ..compat import mmcv_ext
from ..data.annotations import AnnotationFile
from ..data.check import size_range, sizes_of_boxes
from ..data.dataset_sources import dataset_sources
from ..errors import listed
from ..version import __version__


def model_line(cfg: Config) -> str:
    """The types of detector, head and backbone."""
    parts = {name: part for name, part in cfg.model.items() if isinstance(part, Mapping) and 'type' in part}
    names = [str(cfg.model.get('type'))]
    names += [str(part['type']) for name, part in parts.items() if name.endswith('head')]
    if backbone := parts.get('backbone'):
        names.append(f'{backbone["type"]} {backbone.get("depth", "")}'.strip())
    return ', '.join(names)


def data_lines(cfg: Config, files: Mapping[str, Sequence[AnnotationFile]]) -> Iterator[str]:
    """Count images and boxes of each split; list classes, and the smallest and largest box and image of all splits.

    Args:
        cfg: The config.
        files: The annotations of each split.
    """
    for split, found in files.items():
        images = [image for file in found for image in file.images]
        more = f' and {len(found) - 1} more files' if found[1:] else ''
        boxes = sum(len(image.boxes) for image in images)
        yield f'{split}: {len(images)} images, {boxes} boxes in {found[0].path}{more}'
    everything = [image for found in files.values() for file in found for image in file.images]
    if everything:
        split, found = next(iter(files.items()))
        classes = next(dataset_sources(cfg[f'{split}_dataloader'].dataset)).classes or found[0].classes
        yield f'classes: {len(classes)} {listed(classes)}'
        yield f'boxes: {size_range(sizes_of_boxes(everything))}'
        yield f'images: {size_range([image.size for image in everything if min(image.size) > 0])}'


def print_versions() -> None:
    """Print what runs: the first line of the header."""
    print(f'mmdet_kpheads {__version__}, mmdet {mmdet.__version__}, torch {torch.__version__}')


def print_plan(cfg: Config, files: Mapping[str, Sequence[AnnotationFile]]) -> None:
    """Print what is known before the model is built.

    Args:
        cfg: The config.
        files: The annotations of each split; without those whose format is not known.
    """
    print(f'model: {model_line(cfg)}')
    for line in data_lines(cfg, {split: found for split, found in files.items() if found}):
        print(line)


def device_line() -> str:
    """The device, and how many processes use one each."""
    device = torch.device(get_device()).type
    name = torch.cuda.get_device_name() if device == 'cuda' else f'{torch.get_num_threads()} threads'
    return f'{device}, {name}'


def ops_line() -> str:
    """Where mmcv's ops come from, and the version of losses and decoding."""
    ops = 'torchvision and plain torch, as mmcv has none compiled' if mmcv_ext.in_use() else 'compiled mmcv'
    return f'{ops}; losses and decoding: {OF_DEVICE.get(torch.device(get_device()).type, "reference")}'


def print_run(runner: Runner) -> None:
    """Print what is known when a runner is built."""
    if not is_main_process():
        return
    processes = f', {runner.world_size} processes' if runner.world_size > 1 else ''
    exported = runner.cfg.model.get('path')  # of test --onnx
    start = runner._load_from or exported or pretrained_backbone(runner.cfg) or 'random weights'
    print(f'start: {start}')
    print(f'device: {device_line()}{processes}')
    print(f'ops: {ops_line()}')
    print(f'seed: {runner.seed}')
    print(f'work dir: {os.path.abspath(runner.work_dir)}')
    print(f'log: {os.path.abspath(runner.logger.log_file or "")} has the config and all messages')


def pretrained_backbone(cfg: Any) -> str | None:
    """The weights of the backbone."""
    found: Mapping[str, Any] = cfg.get('model', {}).get('backbone', {}).get('init_cfg') or {}
    return found.get('checkpoint') and f'backbone {found["checkpoint"]}'
