"""Shows what a head saw in an image: CenterNet's peaks, CornerNet's pairs, AutoAssign's weights."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from numpy import ndarray
from torch import Tensor

from ..cli.show_assignment import draw_prior, weight_pictures
from ..data.visualization import PREDICTION_COLOR, blend, draw_boxes, draw_caption, enlarge
from ..functional.peaks import gather_cells, top_peaks
from ..heads import AutoAssignHead, CenterNetHead, CornerNetHead
from ..structures import MapGeometry
from ..structures.geometry import cells_to_xy, image_extents, scale_factors
from .figures import PALETTE
from .pictures import bgr, jpeg

PEAK_COLOR, TRUTH_COLOR = (255, 255, 255), bgr('#56B4E9')
OUTLINE = (0, 0, 0)
RADIUS_PX = 7
MAX_CAPTIONS = 15  # of the best peaks
MAX_PRIORS, PRIOR_COLUMNS = 9, 3  # classes in the picture of the center prior: legible on a phone
SAME_CORNER_PX = 0.5  # between a box of the decoder and a corner it was made of


class Picture(NamedTuple):
    """A JPEG and what it shows."""

    caption: str
    data: bytes


class Seen(NamedTuple):
    """An image as the network got it, its objects there, and the maps of the head."""

    image: ndarray  # (H, W, 3) BGR
    objects: InstanceData  # ``bboxes`` in input pixels, ``labels``
    maps: Any  # what ``forward`` of the head returned
    meta: dict[str, Any]


@torch.no_grad()
def see(model: Any, dataset: Any, position: int) -> Seen:
    """Run a detector over one image of a dataset.

    Args:
        model: A single-stage detector.
        dataset: Its samples have ``instances`` in the pixels of the file.
        position: Of the image.
    """
    item = dataset[position]
    data = model.data_preprocessor(pseudo_collate([item]), False)
    meta = data['data_samples'][0].metainfo
    height, width = data['inputs'].shape[-2:]
    image = np.zeros((height, width, 3), np.uint8)  # padded as the network input is
    pixels = item['inputs'].permute(1, 2, 0).numpy().clip(0, 255).astype(np.uint8)
    image[: pixels.shape[0], : pixels.shape[1]] = pixels
    return Seen(image, objects_in_input(meta), model.bbox_head(model.extract_feat(data['inputs'])), meta)


def objects_in_input(meta: dict[str, Any]) -> InstanceData:
    """The objects of an image in pixels of the network input: the way back of ``heads.postprocess``."""
    counted = [item for item in meta.get('instances', ()) if not item.get('ignore_flag')]
    boxes = torch.tensor([item['bbox'] for item in counted]).reshape(-1, 4).float()
    cpu = torch.device('cpu')
    boxes = boxes * scale_factors([meta], cpu).repeat(1, 2) + image_extents([meta], cpu)[:, :2].repeat(1, 2)
    return InstanceData(bboxes=boxes, labels=torch.tensor([item['bbox_label'] for item in counted], dtype=torch.long))


class Peak(NamedTuple):
    """A peak of a heat map, in pixels of the network input."""

    x: float
    y: float
    score: float
    label: int
    tag: list[float]  # empty without embedding


def peaks_of(
    heat: Tensor, offsets: Tensor, tags: Tensor | None, geometry: MapGeometry, limit: int, kernel: int
) -> list[Peak]:
    """The peaks that decoding starts from.

    Args:
        heat: (1, C, H, W) logits.
        offsets: (1, 2, H, W) in cells.
        tags: (1, D, H, W), or None.
        geometry: How the maps lie over the input.
        limit: Most peaks.
        kernel: Window of a peak in cells.
    """
    peaks = top_peaks(heat, limit, kernel, geometry.valid_cells())
    px = geometry.to_px(cells_to_xy(peaks.cells, heat.shape[-1]) + gather_cells(offsets, peaks.cells).float())[0]
    numbers = torch.zeros(len(px), 0) if tags is None else gather_cells(tags, peaks.cells)[0].float()
    rows = zip(px.tolist(), peaks.logits[0].sigmoid().tolist(), peaks.labels[0].tolist(), numbers.tolist(), strict=True)
    return [Peak(x, y, score, label, tag) for (x, y), score, label, tag in rows if score > 0]


def draw_heat(seen: Seen, heat: Tensor, peaks: Sequence[Peak], truth: Tensor, classes: Sequence[str]) -> bytes:
    """A heat map over its image: the maximum of the classes, circles at the peaks, crosses where objects have theirs.

    Args:
        seen: The image.
        heat: (1, C, H, W) logits.
        peaks: Those to mark.
        truth: (N, 2) in pixels of the input.
        classes: Names.
    """
    large, factor = enlarge(seen.image)
    canvas = blend(large, heat[0].float().sigmoid().amax(0).cpu().numpy())
    for x, y in (truth * factor).round().int().tolist():
        for color, width in ((OUTLINE, 4), (TRUTH_COLOR, 2)):
            cv2.drawMarker(canvas, (x, y), color, cv2.MARKER_CROSS, 2 * RADIUS_PX, width)
    for number, peak in enumerate(peaks):
        at = round(peak.x * factor), round(peak.y * factor)
        for color, width in ((OUTLINE, 4), (PEAK_COLOR, 2)):
            cv2.circle(canvas, at, RADIUS_PX, color, width, cv2.LINE_AA)
        if number < MAX_CAPTIONS:
            caption = f'{classes[peak.label]} {peak.score:.2f}'
            draw_caption(canvas, at[0] + RADIUS_PX, at[1] - RADIUS_PX, caption, PEAK_COLOR)
    return jpeg(unpadded(canvas, seen))


def unpadded(canvas: ndarray, seen: Seen) -> ndarray:
    """Cut off the padding below and on the right of a picture of the network input, enlarged or not."""
    scale = canvas.shape[0] / seen.image.shape[0]
    height, width = (round(side * scale) for side in seen.meta['img_shape'][:2])
    return canvas[:height, :width]


def center_views(head: CenterNetHead, seen: Seen, classes: Sequence[str], threshold: float) -> list[Picture]:
    """The heat map of CenterNet's last level with its peaks, and their boxes."""
    heat, offsets = seen.maps[0][-1], seen.maps[2][-1]
    geometry, options = MapGeometry.from_metas([seen.meta], heat), head.decoding
    peaks = peaks_of(heat, offsets, None, geometry, options.topk, options.local_maximum_kernel)
    kept = [peak for peak in peaks if peak.score >= threshold]
    centers = (seen.objects.bboxes[:, :2] + seen.objects.bboxes[:, 2:]) / 2
    found = head.decode(*seen.maps, batch_img_metas=[seen.meta])
    boxes = found.boxes[0][found.valid[0] & (found.scores[0] >= threshold)].cpu().numpy()
    large, factor = enlarge(seen.image)
    drawn = draw_boxes(large, boxes * factor, [''] * len(boxes), PREDICTION_COLOR)
    caption = 'Center heat map, maximum over the classes. Circles: peaks above the threshold. Crosses: true centers.'
    return [
        Picture(caption, draw_heat(seen, heat, kept, centers, classes)),
        Picture('The boxes of these peaks, from size and offset.', jpeg(unpadded(drawn, seen))),
    ]


def corner_views(head: CornerNetHead, seen: Seen, classes: Sequence[str], threshold: float) -> list[Picture]:
    """The heat maps of both corners with their peaks, and the pairs with their tags."""
    level = head.level_type(*(levels[-1] for levels in seen.maps))
    geometry, options = MapGeometry.from_metas([seen.meta], level.tl_heat), head.decoding
    views, corners = [], []
    for which, (name, maps) in enumerate(zip(('Top-left', 'Bottom-right'), level.corners(), strict=True)):
        peaks = peaks_of(
            maps.heat_logits, maps.offsets, maps.tags, geometry, options.corner_topk, options.local_maximum_kernel
        )
        corners.append(peaks)
        kept = [peak for peak in peaks if peak.score >= threshold / 2]  # a pair scores the mean of its corners
        truth = seen.objects.bboxes[:, 2 * which : 2 * which + 2]
        caption = f'{name} corners. Circles: peaks above half the threshold. Crosses: true corners.'
        views.append(Picture(caption, draw_heat(seen, maps.heat_logits, kept, truth, classes)))
    found = head.decode(*seen.maps, batch_img_metas=[seen.meta])
    kept_pairs = found.valid[0] & (found.scores[0] >= threshold)
    # the decoder has boxes of one object several times; NMS is not part of the pairing
    caption = (
        'Pairs of corners above the threshold, before NMS, with the tags of both; corners pair if the tags are close.'
    )
    drawn = draw_pairs(seen, found.boxes[0][kept_pairs].cpu(), corners[0], corners[1])
    return [*views, Picture(caption, drawn)]


def draw_pairs(seen: Seen, boxes: Tensor, top_left: Sequence[Peak], bottom_right: Sequence[Peak]) -> bytes:
    """Each box as a line between its corners, with the tags of both.

    Args:
        seen: The image.
        boxes: (M, 4) in pixels of the input.
        top_left: Corners that the boxes were made of.
        bottom_right: Likewise.
    """
    canvas, factor = enlarge(seen.image)
    canvas = canvas.copy()
    for number, box in enumerate(boxes.tolist()):
        color = bgr(PALETTE[number % (len(PALETTE) - 1)])
        ends = [(round(x * factor), round(y * factor)) for x, y in (box[:2], box[2:])]
        cv2.line(canvas, ends[0], ends[1], color, 2, cv2.LINE_AA)
        for corners, at, end in ((top_left, box[:2], ends[0]), (bottom_right, box[2:], ends[1])):
            cv2.rectangle(canvas, (end[0] - 4, end[1] - 4), (end[0] + 4, end[1] + 4), color, -1)
            tag = tag_at(corners, at)
            if tag:
                draw_caption(canvas, *end, ' '.join(f'{value:+.2f}' for value in tag[:2]), color)
    return jpeg(unpadded(canvas, seen))


def tag_at(corners: Sequence[Peak], at: Sequence[float]) -> list[float]:
    """The tag of the corner at a place; empty if there is none, as where the image clipped the box."""
    near = min(corners, key=lambda peak: abs(peak.x - at[0]) + abs(peak.y - at[1]), default=None)
    if near is None or abs(near.x - at[0]) + abs(near.y - at[1]) > SAME_CORNER_PX:
        return []
    return near.tag


def autoassign_views(head: AutoAssignHead, seen: Seen, classes: Sequence[str], threshold: float) -> list[Picture]:
    """The positive weights of the objects by level."""
    scores, boxes, objectness = seen.maps
    objects = seen.objects.to(scores[0].device)
    levels = head.positive_weights(scores, boxes, objectness, [objects], [seen.meta])
    drawn = weight_pictures(
        seen.image, seen.objects, [level[0].cpu() for level in levels], head.strides, tuple(classes)
    )
    captions = [f'Positive weights of level {number}, stride {stride}.' for number, stride in enumerate(head.strides)]
    return [
        Picture(caption, jpeg(unpadded(picture, seen)))
        for caption, picture in zip(['The objects.', *captions], drawn, strict=True)
    ]


VIEWS: dict[type, Callable[..., list[Picture]]] = {
    CenterNetHead: center_views,
    CornerNetHead: corner_views,
    AutoAssignHead: autoassign_views,
}


def view_of(head: Any) -> Callable[..., list[Picture]] | None:
    """The function that draws what a head saw; None for other heads."""
    return next((view for kind, view in VIEWS.items() if isinstance(head, kind)), None)


def center_prior_view(head: Any, classes: tuple[str, ...], num_objects: ndarray) -> Picture | None:
    """The learned center prior of AutoAssign; None for other heads.

    Args:
        head: The head.
        classes: Names.
        num_objects: (C,) of each class; of many classes those with most objects are drawn.
    """
    if not isinstance(head, AutoAssignHead):
        return None
    shown = np.sort(np.argsort(-num_objects, kind='stable')[:MAX_PRIORS]).tolist()
    which = 'each class' if len(shown) == len(classes) else f'the {len(shown)} classes with most objects'
    caption = f'Learned center prior of {which}, four strides to each side of the box center (cross).'
    return Picture(caption, jpeg(draw_prior(deepcopy(head.center_prior).cpu(), classes, shown, PRIOR_COLUMNS)))
