"""Images a second that one process brings through the training transforms of each kind of recipe."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from mmdet_kpheads.compat.configs import configs_root

from .contract import timed

IMAGE = (480, 640)  # height and width of COCO's usual image
IMAGES, BOXES = 8, 7
RECIPES = (
    'centernet/centernet_r18_8xb16-140e_coco.py',
    'centernet/centernet_r18-dcnv2_4xb28-140e_coco.py',
    'centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'cornernet/cornernet_r18_8xb16-140e_coco.py',
    'cornernet/cornernet_hourglass104_8xb6-crop511-210e_coco.py',
    'autoassign/autoassign_r50_8xb2-1x_coco.py',
    'autoassign/autoassign_r50_8xb2-1x_voc0712.py',
)


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


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Every kind of pipeline; the machine's processor does this work whatever the device."""
    host = torch.device('cpu')
    with tempfile.TemporaryDirectory() as folder, DefaultScope.overwrite_default_scope('mmdet'):
        images = items(Path(folder))
        for name in RECIPES:
            cfg = Config.fromfile(configs_root() / name)
            pipeline = Compose([TRANSFORMS.build(step) for step in inner(cfg.train_dataloader.dataset).pipeline])

            def load(pipeline: Compose = pipeline) -> None:
                np.random.seed(0)  # noqa: NPY002  (what mmcv's transforms draw from)
                for image in images:
                    pipeline({**image, 'instances': [dict(i) for i in image['instances']]})

            side = timed(load, host)
            side['images_per_s'] = IMAGES / side['median_ms'] * 1e3
            yield {
                'what': 'training transforms',
                'size': Path(name).stem,
                'ours': side,
                'note': f'{side["images_per_s"]:.0f} images/s in one process',
            }
