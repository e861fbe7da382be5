"""Detections of fixed size to mmdet's ``InstanceData``: the only step that syncs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor

from ..backends import outside_graphs, version_of
from ..ops import soft_nms_batch
from ..structures import Detections
from ..structures.geometry import image_extents, scale_factors

PLAIN_NMS_OPTIONS = {'type', 'iou_threshold', 'offset', 'class_agnostic'}


@outside_graphs  # from here on the sizes are values of the device: one graph break, not many
def to_instances(
    found: Detections,
    metas: Sequence[Mapping[str, Any]],
    rescale: bool,
    nms: Mapping[str, Any] | None,
    max_per_img: int,
    min_side_px: float = 0.0,
    backend: str = 'auto',
) -> list[InstanceData]:
    """Valid detections of each image, in the image's own pixels, best first.

    Args:
        found: Detections in pixels of the network input.
        metas: Metas of the images.
        rescale: Return boxes in pixels of the original image.
        nms: mmcv's NMS options, or None for no NMS. Soft-NMS runs on the whole batch on its own device and stops
            after ``max_per_img`` boxes. Other kinds run image by image.
        max_per_img: Boxes per image at most; all if not positive.
        min_side_px: Boxes need a longer width and height than this, in the image's own pixels.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.

    Raises:
        KeyError: See :func:`~mmdet_kpheads.structures.geometry.scale_factors`.
    """
    boxes = found.boxes - image_extents(metas, found.boxes.device)[:, None, :2].repeat(1, 1, 2)
    if rescale:
        boxes = boxes / scale_factors(metas, boxes.device)[:, None].repeat(1, 1, 2)
    found = found._replace(boxes=boxes)
    if min_side_px > 0:
        found = found._replace(valid=found.valid & (boxes[..., 2:] - boxes[..., :2] > min_side_px).all(-1))
    if nms is not None and nms.get('type') == 'soft_nms':
        found, nms = soft_nms_of_batch(found, nms, max_per_img, backend), None
    found = valid_first(found, max_per_img if nms is None and max_per_img > 0 else None)
    lengths = found.valid.sum(1).cpu().tolist()  # the one read of a batch; an NMS of mmcv adds one for each image
    return [
        _one_image(boxes[:length], scores[:length], labels[:length], nms, max(0, max_per_img), backend)
        for length, boxes, scores, labels in zip(lengths, found.boxes, found.scores, found.labels, strict=True)
    ]


def valid_first(found: Detections, limit: int | None = None) -> Detections:
    """The first ``limit`` detections with the filler of each image at the end, otherwise in the same order.

    Each image's are views of the result: they keep its memory, and no more, until the evaluation.
    """
    valid, order = (part[:, :limit] for part in found.valid.sort(dim=1, descending=True, stable=True))
    boxes = found.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Detections(boxes, found.scores.gather(1, order), found.labels.gather(1, order), valid)


def soft_nms_of_batch(found: Detections, nms: Mapping[str, Any], max_per_img: int, backend: str) -> Detections:
    """Detections after soft-NMS, with lowered scores, best first."""
    options = {key: value for key, value in nms.items() if key != 'type'}
    rounds = max_per_img if max_per_img > 0 else found.scores.shape[1]
    live = torch.where(found.valid, found.scores, -torch.inf)
    suppress = version_of(soft_nms_batch, found.scores, backend)
    scores, index = suppress(found.boxes, live, found.labels, rounds, **options)
    boxes = found.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    return Detections(boxes, scores, found.labels.gather(1, index), scores > -torch.inf)


def plain_nms(boxes: Tensor, scores: Tensor, labels: Tensor, *, limit: int, **options: Any) -> Tensor:
    """Indices of the boxes that mmcv's NMS keeps, at most ``limit`` (0 for all), best first."""
    _, keep = batched_nms(boxes, scores.contiguous(), labels, {'type': 'nms', **options})
    return keep[: limit or None]


def _one_image(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    nms: Mapping[str, Any] | None,
    limit: int,
    backend: str,
) -> InstanceData:
    if nms is not None and len(boxes):
        if set(nms) <= PLAIN_NMS_OPTIONS and nms.get('type', 'nms') == 'nms':
            options = {key: value for key, value in nms.items() if key != 'type'}
            keep = version_of(plain_nms, boxes, backend)(boxes, scores, labels, limit=limit, **options)
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        else:
            kept, keep = batched_nms(boxes, scores.contiguous(), labels, dict(nms))
            boxes, scores, labels = kept[:, :4], kept[:, 4], labels[keep]
    boxes, scores, labels = (part[: limit or None] for part in (boxes, scores, labels))
    return InstanceData(bboxes=boxes, scores=scores, labels=labels)
