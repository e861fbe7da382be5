"""Fixed-size detections to mmdet's ``InstanceData``: the place where the device is read."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor

from ..decoding.detections import Detections
from ..functional.blocks import reads_are_free
from ..ops import class_nms, soft_nms_batch
from .options import rescale_factors

OWN_NMS_OPTIONS = {'type', 'iou_threshold', 'offset', 'class_agnostic'}


@torch.compiler.disable  # from here on the sizes are values of the device: one break for the compiler, not many
def to_instances(
    found: Detections,
    metas: Sequence[Mapping[str, Any]],
    extent_px: Tensor,
    rescale: bool,
    nms: Mapping[str, Any] | None,
    max_per_img: int,
    min_side_px: float = 0.0,
) -> list[InstanceData]:
    """Valid detections of each image, in the image's own pixels, best first.

    Args:
        found: Detections in input pixels.
        metas: Metas of the images.
        extent_px: (B, 4) image inside the input.
        rescale: Return boxes in pixels of the original image.
        nms: mmcv's NMS options, or None for no NMS. Soft-NMS runs on the whole batch on its own device, and only as far
            as boxes are wanted; so does plain NMS on a CPU; the rest is mmcv's.
        max_per_img: Boxes an image at most; all if not positive.
        min_side_px: Boxes need a longer width and height than this, in the image's own pixels.

    Raises:
        KeyError: See :func:`~mmdet_kpheads.heads.options.rescale_factors`.
    """
    boxes = found.boxes - extent_px[:, None, :2].repeat(1, 1, 2)
    if rescale:
        boxes = boxes / rescale_factors(metas, boxes.device)[:, None].repeat(1, 1, 2)
    found = found._replace(boxes=boxes)
    if min_side_px > 0:
        found = found._replace(valid=found.valid & (boxes[..., 2:] - boxes[..., :2] > min_side_px).all(-1))
    if nms is not None and nms.get('type') == 'soft_nms':
        found, nms = soft_nms_of_batch(found, nms, max_per_img), None
    return [_one_image(*image, nms, max_per_img) for image in zip(*found, strict=True)]


def soft_nms_of_batch(found: Detections, nms: Mapping[str, Any], max_per_img: int) -> Detections:
    """Detections after soft-NMS, with lowered scores, best first."""
    options = {key: value for key, value in nms.items() if key != 'type'}
    rounds = max_per_img if max_per_img > 0 else found.scores.shape[1]
    live = torch.where(found.valid, found.scores, -torch.inf)
    scores, index = soft_nms_batch(found.boxes, live, found.labels, rounds, **options)
    boxes = found.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    return Detections(boxes, scores, found.labels.gather(1, index), scores > -torch.inf)


def _one_image(
    boxes: Tensor, scores: Tensor, labels: Tensor, valid: Tensor, nms: Mapping[str, Any] | None, max_per_img: int
) -> InstanceData:
    boxes, scores, labels = boxes[valid], scores[valid], labels[valid]
    limit = max(0, max_per_img)
    if nms is not None and len(boxes):
        if reads_are_free(boxes.device) and set(nms) <= OWN_NMS_OPTIONS and nms.get('type', 'nms') == 'nms':
            options = {key: value for key, value in nms.items() if key != 'type'}
            keep = class_nms(boxes, scores, labels, limit=limit, **options)  # ends with the last box that is wanted
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        else:
            kept, keep = batched_nms(boxes, scores.contiguous(), labels, dict(nms))
            boxes, scores, labels = kept[:, :4], kept[:, 4], labels[keep]
    boxes, scores, labels = (part[: limit or None] for part in (boxes, scores, labels))
    return InstanceData(bboxes=boxes, scores=scores, labels=labels)
