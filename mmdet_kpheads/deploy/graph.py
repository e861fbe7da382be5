"""A detector as one function of tensors: normalization, network, decoding and suppression.

Shape legend: B images, N candidates, C classes, K boxes of the output, S boxes that NMS selects.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.onnx import symbolic_helper

from ..errors import InputError
from ..heads.autoassign_head import AutoAssignHead
from ..heads.heatmap_head import HeatmapHead
from ..heads.postprocess import soft_nms_of_batch
from ..ops import soft_nms_batch
from ..structures import Detections

NMS_OPTIONS = {'type', 'iou_threshold', 'class_agnostic'}  # of plain NMS, that the graph has
NO_LABEL = -1


class DetectorGraph(nn.Module):
    """What is exported.

    Args:
        model: A detector whose head was built with ``backend='export'``.

    Raises:
        InputError: If the head or an option of its ``test_cfg`` cannot be exported.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        options = model.bbox_head.decoding
        self.nms, self.limit = options.nms, options.max_per_img
        require_options(options)
        preprocessor = model.data_preprocessor
        self.normalized = preprocessor._enable_normalize
        if self.normalized:
            self.register_buffer('mean', preprocessor.mean)
            self.register_buffer('std', preprocessor.std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, K, 4), scores (B, K) and labels (B, K) of images (B, 3, H, W) with values from 0 to 255."""
        inputs = (images - self.mean) / self.std if self.normalized else images
        head = self.model.bbox_head
        maps = head(self.model.extract_feat(inputs))
        found = head.decode_full(*maps, input_size=(images.shape[2], images.shape[3]))
        return best_first(suppress(found, self.nms, self.limit, head.num_classes), self.limit)


def require_head(model: Mapping[str, Any]) -> None:
    """Raise ``InputError`` unless the config of a model is a single-stage detector with a head of this package."""
    kind = model.get('bbox_head', {}).get('type')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type) or not issubclass(found, HeatmapHead | AutoAssignHead):
        raise InputError(
            f'export needs a single-stage detector with a head of mmdet_kpheads, but {model["type"]} has bbox_head '
            f"{kind}; --drop-in replaces mmdet's heads"
        )


def require_options(options: Any) -> None:
    """Raise ``InputError`` for an option that the graph cannot hold."""
    nms = options.nms or {}
    plain = nms.get('type', 'nms') == 'nms' and set(nms) <= NMS_OPTIONS
    if nms and not plain and nms.get('type') != 'soft_nms':
        raise InputError(
            f'test_cfg.nms is {dict(nms)}: export knows soft_nms, and nms with {sorted(NMS_OPTIONS)}; or set it to None'
        )
    if getattr(options, 'min_bbox_size', 0) > 0:
        raise InputError(
            f'test_cfg.min_bbox_size is {options.min_bbox_size}, but the graph does not know the pixels of the '
            'original image: set it to 0 and drop small boxes afterwards'
        )


def suppress(found: Detections, nms: Mapping[str, Any] | None, limit: int, num_classes: int) -> Detections:
    """Detections after the suppression of a ``test_cfg``."""
    if not nms:
        return found
    if nms.get('type') == 'soft_nms':
        return soft_nms_of_batch(found, nms, limit, 'reference')
    agnostic = nms.get('class_agnostic', False)
    if torch.onnx.is_in_onnx_export():
        return with_nms_operator(found, nms['iou_threshold'], limit, 1 if agnostic else num_classes)
    return soft_nms_of_batch(found, as_soft_nms(nms['iou_threshold'], agnostic), limit, 'reference')


def as_soft_nms(iou_threshold: float, class_agnostic: bool) -> dict[str, Any]:
    """Options of soft-NMS with which it equals greedy NMS.

    It drops from an overlap on, NMS above it: the threshold becomes the next float32 number.
    """
    above = float(np.nextafter(np.float32(iou_threshold), np.float32(np.inf)))
    smallest = float(np.finfo(np.float32).tiny)
    return {'iou_threshold': above, 'class_agnostic': class_agnostic, 'method': 'naive', 'min_score': smallest}


def with_nms_operator(found: Detections, iou_threshold: float, limit: int, num_classes: int) -> Detections:
    """Greedy NMS by ONNX's operator, which takes the scores of each class; one class is class-agnostic NMS."""
    live = torch.where(found.valid, found.scores, -1.0)
    labels = found.labels if num_classes > 1 else torch.zeros_like(found.labels)
    of_class = labels[:, None] == torch.arange(num_classes)[:, None]  # (B, C, N)
    by_class = torch.where(of_class, live[:, None], -torch.ones_like(live[:, None]))
    count = live.shape[1]
    selected = non_max_suppression(found.boxes, by_class, limit if limit > 0 else int(count), iou_threshold)
    cells = selected[:, 0] * count + selected[:, 2]  # (S,)
    kept = torch.zeros_like(live).flatten().scatter(0, cells, torch.ones_like(cells, dtype=live.dtype))
    return found._replace(valid=kept.view_as(live) > 0)


def best_first(found: Detections, limit: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels of the ``limit`` best detections (0 for all); filler rows have score 0 and label -1."""
    live = torch.where(found.valid, found.scores, -1.0)
    count = int(live.shape[1])
    scores, index = live.topk(min(limit, count) if limit > 0 else count)
    boxes = found.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    labels, filler = found.labels.gather(1, index), scores < 0
    return (
        boxes.masked_fill(filler[..., None], 0.0),
        scores.masked_fill(filler, 0.0),
        labels.masked_fill(filler, NO_LABEL),
    )


@torch.library.custom_op('mmdet_kpheads::non_max_suppression', mutates_args=())
def non_max_suppression(boxes: Tensor, by_class: Tensor, limit: int, iou_threshold: float) -> Tensor:
    """(S, 3) image, class and box of what NMS keeps of boxes (B, N, 4) with scores (B, C, N), at most ``limit``."""
    scores, labels = by_class.max(1)
    live = scores.where(scores > 0, -torch.inf)
    taken, index = soft_nms_batch(boxes, live, labels, limit, **as_soft_nms(iou_threshold, False))
    image, rank = (taken > -torch.inf).nonzero().unbind(1)
    box = index[image, rank]
    return torch.stack((image, labels[image, box], box), 1)


@symbolic_helper.parse_args('v', 'v', 'i', 'f')
def _onnx_operator(graph: torch.Graph, boxes: Any, by_class: Any, limit: int, iou_threshold: float) -> Any:
    """The operator of that name in ONNX, where ``limit`` is for each class."""
    g: Any = graph  # torch 2.4 wants a class as the annotation
    numbers = [torch.tensor([limit]), torch.tensor([iou_threshold]), torch.tensor([0.0])]
    return g.op('NonMaxSuppression', boxes, by_class, *(g.op('Constant', value_t=number) for number in numbers))


torch.onnx.register_custom_op_symbolic('mmdet_kpheads::non_max_suppression', _onnx_operator, 9)
