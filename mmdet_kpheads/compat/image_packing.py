"""Packs images faster: mmdet's transform turns rows of pixels into planes of channels one byte at a time.

Of a flipped 800 x 1067 image that takes 5 ms, longer than decoding the JPEG file. OpenCV takes 0.3 ms (one core of an
AMD EPYC). The planes are the same. ``train`` and ``test`` install this; ``compat.install`` does not, because it would
have to import mmdet's transforms.
"""

from functools import wraps
from typing import Any

import cv2
import numpy as np
from mmdet.datasets.transforms import PackDetInputs

SPLIT_TYPES = (np.uint8, np.float32)  # of the images that mmcv's transforms make


def install() -> None:
    """Make ``PackDetInputs`` split images with OpenCV. Safe to repeat."""
    pack = PackDetInputs.transform
    if hasattr(pack, '__wrapped__'):
        return

    @wraps(pack)
    def transform(self: PackDetInputs, results: dict[str, Any]) -> dict[str, Any]:
        image = results.get('img')
        if isinstance(image, np.ndarray) and image.ndim == 3 and image.size and image.dtype in SPLIT_TYPES:
            planes = channels_first(image)
            results = {**results, 'img': planes.transpose(1, 2, 0)}  # mmdet transposes it back, without a copy
        packed: dict[str, Any] = pack(self, results)
        return packed

    PackDetInputs.transform = transform


def channels_first(image: np.ndarray) -> np.ndarray:
    """Copy an image (H, W, C) of uint8 or float32 into planes (C, H, W)."""
    if image.strides[1] < 0:  # a flip of mmcv is a view, which OpenCV would copy pixel by pixel
        image = cv2.flip(image[:, ::-1], 1).reshape(image.shape)
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))
    return planes
