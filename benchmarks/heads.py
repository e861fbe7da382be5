"""Each head against mmdet's: targets, loss, loss with backward, prediction; memory, kernels, reads, the floor."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import ConfigDict

import mmdet_kpheads  # noqa: F401  (makes mmcv.ops importable before mmdet is)

# isort: split
from mmdet.models import dense_heads as mmdet_heads

from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead

from .contract import compared, floor_ms, with_memory_and_counts
from .scenes import (
    CLASSES,
    STRIDES,
    Scene,
    autoassign_scene,
    centernet_scene,
    cornernet_scene,
    forward_of,
    prediction_of,
    training_of,
)

HEAT_MAP_SIZES = ((16, 7), (4, 100))  # images, boxes per image
AUTOASSIGN_BOXES = (7, 50, 200)  # in each of two images
CENTERNET_TEST = {'topk': 100, 'local_maximum_kernel': 3, 'max_per_img': 100}
SOFT_NMS = {'type': 'soft_nms', 'iou_threshold': 0.5, 'method': 'gaussian'}
CORNERNET_TEST = {
    'corner_topk': 100,
    'local_maximum_kernel': 3,
    'distance_threshold': 0.5,
    'max_per_img': 100,
    'nms': SOFT_NMS,
}
CORNERNET = {'num_classes': CLASSES, 'in_channels': 8, 'num_feat_levels': 1}
AUTOASSIGN = {
    'num_classes': CLASSES,
    'in_channels': 8,
    'feat_channels': 32,
    'stacked_convs': 1,
    'strides': STRIDES,
    'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 5.0},
}
AUTOASSIGN_TEST = {
    'nms_pre': 1000,
    'min_bbox_size': 0,
    'score_thr': 0.05,
    'nms': {'type': 'nms', 'iou_threshold': 0.6},
    'max_per_img': 100,
}


def centernet_heads(backend: str = 'auto') -> tuple[Any, Any]:
    """Ours and mmdet's."""
    theirs = mmdet_heads.CenterNetHead(8, 8, CLASSES, test_cfg=ConfigDict(CENTERNET_TEST))
    return CenterNetHead(8, 8, CLASSES, test_cfg=CENTERNET_TEST, backend=backend), theirs


def cornernet_heads(backend: str = 'auto') -> tuple[Any, Any]:
    """Ours and mmdet's."""
    theirs = mmdet_heads.CornerHead(**CORNERNET, test_cfg=ConfigDict(CORNERNET_TEST))
    return CornerNetHead(**CORNERNET, test_cfg=CORNERNET_TEST, backend=backend), theirs


def autoassign_heads(device: torch.device, backend: str = 'auto') -> tuple[Any, Any]:
    """Ours and mmdet's."""
    theirs = mmdet_heads.AutoAssignHead(**AUTOASSIGN, test_cfg=ConfigDict(AUTOASSIGN_TEST))
    return AutoAssignHead(**AUTOASSIGN, test_cfg=AUTOASSIGN_TEST, backend=backend).to(device), theirs.to(device)


def loss_rows(
    name: str, heads: tuple[Any, ...], scene: Scene, size: str, device: torch.device, probability: bool = False
) -> Iterator[dict[str, Any]]:
    """Loss forward, and loss with backward beside the floor: every map read once and every gradient written once."""
    forwards = [forward_of(heads[0], scene), forward_of(heads[1], scene, probability)]
    yield compared(f'{name} loss, forward', size, *forwards, device, floor_ms=floor_ms(scene.num_bytes(1), device))
    steps = [training_of(heads[0], scene), training_of(heads[1], scene, probability)]
    floor = floor_ms(scene.num_bytes(2), device)
    row = compared(f'{name} loss + backward', size, *steps, device, floor_ms=floor)
    yield with_memory_and_counts(row, *steps, device, scene.clear, training_of(heads[2], scene))


def centernet_rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """CenterNetHead."""
    ours, theirs = centernet_heads()
    counted, _ = centernet_heads('reference' if device.type == 'cpu' else 'auto')
    for images, boxes in HEAT_MAP_SIZES:
        scene, size = centernet_scene(images, boxes, device), f'{images} images, {boxes} boxes'
        yield _dense_targets('CenterNet', (ours, theirs), scene, size, device)
        yield from loss_rows('CenterNet', (ours, theirs, counted), scene, size, device, probability=True)
        calls = prediction_of(ours, scene), prediction_of(theirs, scene, probability=True)
        yield compared('CenterNet predict', size, *calls, device, floor_ms=floor_ms(scene.num_bytes(1), device))


def cornernet_rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """CornerNetHead, without and with soft-NMS."""
    heads = cornernet_heads()
    counted, _ = cornernet_heads('reference' if device.type == 'cpu' else 'auto')
    for images, boxes in HEAT_MAP_SIZES:
        scene, size = cornernet_scene(images, boxes, device), f'{images} images, {boxes} boxes'
        yield _dense_targets('CornerNet', heads, scene, size, device)
        yield from loss_rows('CornerNet', (*heads, counted), scene, size, device)
        for what, with_nms in (('CornerNet predict, no NMS', False), ('CornerNet predict, soft-NMS', True)):
            calls = (prediction_of(head, scene, with_nms=with_nms) for head in heads)
            yield compared(what, size, *calls, device, floor_ms=floor_ms(scene.num_bytes(1), device))


def autoassign_rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """AutoAssignHead."""
    heads = autoassign_heads(device)
    counted, _ = autoassign_heads(device, 'reference' if device.type == 'cpu' else 'auto')
    for boxes in AUTOASSIGN_BOXES:
        scene, size = autoassign_scene(2, boxes, device), f'2 images 800 x 1088, {boxes} boxes'
        yield from loss_rows('AutoAssign', (*heads, counted), scene, size, device)
    calls = (prediction_of(head, scene) for head in heads)
    floor = floor_ms(scene.num_bytes(1), device)
    yield compared('AutoAssign predict', '2 images 800 x 1088', *calls, device, floor_ms=floor)


def _dense_targets(name: str, heads: tuple[Any, Any], scene: Scene, size: str, device: torch.device) -> dict[str, Any]:
    """Target maps, drawn; in the loss on a CPU ours are not drawn at all."""
    boxes, labels = [image.bboxes for image in scene.truth], [image.labels for image in scene.truth]
    shape, image = scene.maps[0][0].shape, scene.metas[0]['img_shape']
    calls = (lambda head=head: head.get_targets(boxes, labels, shape, image) for head in heads)
    return compared(f'{name} targets', size, *calls, device)


def rows(device: torch.device) -> Iterator[dict[str, Any]]:
    """Every head."""
    yield from centernet_rows(device)
    yield from cornernet_rows(device)
    yield from autoassign_rows(device)
