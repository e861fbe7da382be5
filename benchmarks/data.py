"""Images a second that one worker brings through the training transforms, and how long a step waits for them."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader, Dataset

from mmdet_kpheads.compat import image_packing
from mmdet_kpheads.compat.config_bases import configs_root
from mmdet_kpheads_cli.memory import keep_freed_memory

from .contract import synchronize, timed
from .scenes import total
from .steps import ON_CPU, ON_GPU, build, recipe

IMAGE = (480, 640)  # height and width of COCO's usual image
IMAGES, BOXES = 8, 7
RECIPES = (
    'centernet/untrained/centernet_r18_8xb16-140e_coco.py',
    'centernet/untrained/centernet_r18-dcnv2_4xb28-140e_coco.py',
    'centernet/untrained/centernet_r18_8xb16-crop512-140e_coco.py',
    'cornernet/untrained/cornernet_r18_8xb16-140e_coco.py',
    'cornernet/untrained/cornernet_hourglass104_8xb6-crop511-210e_coco.py',
    'autoassign/untrained/autoassign_r50_8xb2-1x_coco.py',
    'autoassign/untrained/autoassign_r50_8xb2-1x_voc0712.py',
)
WITH_STEPS = (
    'centernet/untrained/centernet_r18_8xb16-140e_coco.py',
    'centernet/untrained/centernet_r18_8xb16-crop512-140e_coco.py',
)
BATCH = {ON_CPU: 2, ON_GPU: 32}


def inner(dataset: Any) -> Any:
    """The data set inside wrappers."""
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    return dataset


def items(folder: Path) -> list[dict[str, Any]]:
    """What a data set gives to its transforms: smooth random pictures with a few boxes."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(IMAGES):
        path = folder / f'{number}.jpg'
        small = rng.integers(0, 255, (IMAGE[0] // 16, IMAGE[1] // 16, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, IMAGE[::-1], interpolation=cv2.INTER_CUBIC))
        corner = rng.uniform(0, 0.6, (BOXES, 2)) * IMAGE[::-1]
        side = rng.uniform(0.05, 0.4, (BOXES, 2)) * IMAGE[::-1]
        instances = [
            {'bbox': [*map(float, box)], 'bbox_label': 0, 'ignore_flag': 0}
            for box in np.concatenate((corner, corner + side), 1)
        ]
        shape = {'height': IMAGE[0], 'width': IMAGE[1]}
        found.append({'img_id': number, 'img_path': str(path), 'instances': instances, **shape})
    return found


class Pictures(Dataset):
    """The items again and again, through the training transforms of a recipe."""

    def __init__(self, items: list[dict[str, Any]], cfg: Config) -> None:
        self.items = items
        self.pipeline = Compose([TRANSFORMS.build(step) for step in inner(cfg.train_dataloader.dataset).pipeline])

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> Any:
        item = self.items[index % len(self.items)]
        return self.pipeline({**item, 'instances': [dict(i) for i in item['instances']]})


def transforms_row(name: str, images: list[dict[str, Any]]) -> dict[str, Any]:
    """The transforms by themselves, in this process."""
    pictures = Pictures(images, Config.fromfile(configs_root() / name))

    def load() -> None:
        np.random.seed(0)  # noqa: NPY002  (what mmcv's transforms draw from)
        for number in range(IMAGES):
            pictures[number]

    side = timed(load, torch.device('cpu'))
    side['images_per_s'] = IMAGES / side['median_ms'] * 1e3
    note = f'{side["images_per_s"]:.0f} images/s per worker'
    return {'what': 'training transforms', 'size': Path(name).stem, 'ours': side, 'note': note}


def waiting_row(name: str, images: list[dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """Training steps fed by the recipe's number of workers, at most one a core."""
    cfg = Config.fromfile(configs_root() / name)
    batch, workers = BATCH[device.type], min(cfg.train_dataloader.num_workers, os.cpu_count() or 1)
    loader = DataLoader(Pictures(images, cfg), batch, num_workers=workers, collate_fn=pseudo_collate)
    batches, model = iter(loader), build(recipe(name, None), device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    waits: list[float] = []
    steps: list[float] = []

    def step() -> None:
        start = time.perf_counter()
        raw = next(batches)
        waits.append(time.perf_counter() - start)
        data = model.data_preprocessor(raw, True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == ON_GPU):
            loss = total(model.loss(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        synchronize(device)
        steps.append(time.perf_counter() - start)

    side = timed(step, device)
    side['waiting_share'] = sum(waits[1:]) / sum(steps[1:])  # the first one starts the workers
    side['images_per_s'] = batch / side['median_ms'] * 1e3
    note = f'{side["images_per_s"]:.2f} images/s, {side["waiting_share"]:.1%} of the time waiting for data'
    return {'what': f'training step, {workers} workers', 'size': Path(name).stem, 'ours': side, 'note': note}


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Every kind of pipeline, as our commands run it; the machine's processor does this work whatever the device."""
    image_packing.install()
    keep_freed_memory()
    cv2.setNumThreads(0)  # as in a worker
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmdet'):
        images = items(Path(folder))
        for name in RECIPES:
            yield transforms_row(name, images)
        for name in WITH_STEPS:
            yield waiting_row(name, images, device)
