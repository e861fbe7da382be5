"""Loads a trained detector and predicts batches of images; for scripts and for the command ``predict``."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData
from torch import nn

from . import compat
from .compat.config_bases import find_config
from .errors import InputError, listed
from .fitting import load_whole
from .hooks.class_check_hook import heads_with_classes

NARROW_RATIO = 32  # of the sides, from which on an image may be resized to nothing


def load_model(config: Config | Path | str, checkpoint: str, device: str | None = None) -> nn.Module:
    """Build a detector with the weights of a checkpoint, ready for mmdet's ``inference_detector``.

    Calls ``compat.install()``, so that the checkpoint is read as data.

    Args:
        config: A config, its path, or the name of one of ours such as ``'centernet/centernet_r18_custom'``.
        checkpoint: Path or URL.
        device: Name of a device; None for a GPU if there is one.

    Returns:
        The model in evaluation mode, with its ``cfg`` and its ``dataset_meta``, which has the names of the classes.

    Raises:
        InputError: If the config does not exist, the device cannot be used, or the weights or the classes of the
            checkpoint do not fit the config.
        FileNotFoundError: If the checkpoint does not exist.
    """
    compat.install()
    cfg = config if isinstance(config, Config) else Config.fromfile(find_config(config))
    target = usable_device(device or get_device())
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu', logger='silent')
    meta = saved_meta(content, cfg)
    for head, number in heads_with_classes(model):
        if number != len(meta['classes']):
            raise InputError(
                f'checkpoint {checkpoint} has {len(meta["classes"])} classes {listed(meta["classes"])}, but {head} of '
                f'{cfg.filename} has num_classes {number}: take the config that it was trained with'
            )
    load_whole(model, content, str(checkpoint), cfg.filename)
    model.cfg, model.dataset_meta = cfg, meta
    return model.to(target).eval()


def usable_device(name: str) -> torch.device:
    """Find a device by its name.

    Raises:
        InputError: If there is no such device, or this torch cannot use it.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # CPU builds of torch assert
        raise InputError(f'device {name!r} cannot be used: {str(error).splitlines()[0]}') from None


def saved_meta(checkpoint: Mapping[str, Any], cfg: Config) -> dict[str, Any]:
    """The ``dataset_meta`` of a checkpoint. Weights alone have none, and the test set of the config names the classes.

    Raises:
        InputError: If neither names the classes.
    """
    from .data.dataset_sources import class_tuple, dataset_sources  # mmdet.datasets would slow down the import

    meta = checkpoint.get('meta', {})
    saved = {key.lower(): value for key, value in meta.get('dataset_meta', meta).items()}  # mmdet 2 wrote CLASSES
    source = next(dataset_sources(cfg.test_dataloader.dataset), None)
    classes = saved.get('classes') or (source and source.classes)
    if not classes:
        raise InputError(f'neither the checkpoint nor the test set of {cfg.filename} names the classes')
    return {'palette': saved.get('palette', 'random'), 'classes': class_tuple(classes)}


class Predictor:
    """Predicts batches of decoded images with the test pipeline of the model's config.

    Args:
        model: What :func:`load_model` returned.
        dtype: Type of autocast; None for float32.
    """

    def __init__(self, model: Any, dtype: torch.dtype | None = None) -> None:
        load, *rest = deepcopy(get_test_pipeline_cfg(model.cfg))
        self.pipeline = Compose([{**load, 'type': 'mmdet.LoadImageFromNDArray'}, *rest])
        self.model = model
        device = model.data_preprocessor.device.type
        self.autocast = torch.autocast(device, dtype) if dtype else nullcontext()

    @torch.no_grad()
    def __call__(self, images: Sequence[np.ndarray]) -> list[InstanceData]:
        """Predict images (H, W, 3), uint8 BGR, of any sizes.

        Returns:
            Per image ``bboxes`` (N, 4), xyxy in its pixels, ``scores`` and ``labels``, as NumPy arrays.

        Raises:
            InputError: If an image is so narrow that the pipeline would resize a side to nothing.
        """
        if not images:
            return []
        batch = pseudo_collate([self.prepared(image) for image in images])
        with self.autocast:
            samples = self.model.test_step(batch)
        return [sample.pred_instances.numpy() for sample in samples]

    def prepared(self, image: np.ndarray) -> dict[str, Any]:
        """What the test pipeline makes of an image.

        Raises:
            InputError: As :meth:`__call__`.
        """
        try:
            prepared: dict[str, Any] = self.pipeline({'img': image, 'img_id': 0})
        except cv2.error:
            height, width = image.shape[:2]
            if max(height, width) < NARROW_RATIO * min(height, width):
                raise  # an error of the config
            raise InputError(f'{width} x {height} pixels are too narrow for the test pipeline') from None
        return prepared
