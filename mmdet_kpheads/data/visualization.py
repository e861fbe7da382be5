"""Draws boxes and maps into images and arranges images side by side.

Images are (H, W, 3) uint8 BGR; boxes are [x1, y1, x2, y2] in their pixels.
"""

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from ..ops.nms import class_nms
from .annotations import MAX_IMAGE_BYTES, read_bytes
from .image_files import decode

GROUND_TRUTH_COLOR = (80, 220, 80)
PREDICTION_COLOR = (60, 140, 255)
GAP_PX = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
MAP_OPACITY = 0.55
MIN_IMAGE_SIDE_PX = 384  # keeps captions legible
MAX_ENLARGED_SIDE_PX = 4096
SAME_OBJECT_IOU = 0.9  # a box of the same class that overlaps a better one by more is not drawn
GOLDEN_RATIO = 0.618034  # of the color circle between two classes: keeps the first classes far apart
PX_PER_LINE_PX = 350  # shorter image side per further pixel of line width
PX_PER_FONT_SCALE = 1200
DARK = 140  # luminance below which a caption is white


def read_enlarged(path: Path | str) -> tuple[np.ndarray, int]:
    """Read an image and enlarge a small one by an integer factor; returns the image and the factor.

    Raises:
        InputError: If the image cannot be read.
    """
    return enlarge(decode(read_bytes(Path(path), 'image', MAX_IMAGE_BYTES)))


def enlarge(image: np.ndarray) -> tuple[np.ndarray, int]:
    """Enlarge a small image by an integer factor; returns the image and the factor.

    An image with a long side is enlarged less, so that a narrow strip does not become a picture of gigabytes.
    """
    sides = image.shape[:2]
    factor = max(1, min(math.ceil(MIN_IMAGE_SIDE_PX / min(sides)), MAX_ENLARGED_SIDE_PX // max(sides)))
    if factor == 1:
        return image, 1
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), factor


def drawing_order(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Choose the detections to draw: the best of each object, by rising score, so that the best is drawn last.

    Args:
        boxes: (N, 4).
        scores: (N,).
        labels: (N,).

    Returns:
        (K,) indices.
    """
    found = [torch.as_tensor(values) for values in (boxes, scores, labels)]
    best_first = class_nms(found[0], found[1], found[2], SAME_OBJECT_IOU)
    order: np.ndarray = best_first.flip(0).numpy()
    return order


def class_color(label: int) -> tuple[int, int, int]:
    """The color of a class: hues far apart, light and dark in turn."""
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN_RATIO % 1, 0.85, 0.95 - label % 2 * 0.2)
    return round(blue * 255), round(green * 255), round(red * 255)


def draw_detections(
    image: np.ndarray, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Draw the best box of each object in the color of its class, enlarged if the image is small.

    Args:
        image: (H, W, 3).
        boxes: (N, 4).
        scores: (N,).
        labels: (N,) indices into ``classes``.
        classes: Names.
    """
    order = drawing_order(boxes, scores, labels)
    captions = [f'{classes[labels[index]]} {scores[index]:.2f}' for index in order]
    return draw_objects(image, boxes[order], labels[order], captions)


def draw_objects(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Draw boxes (N, 4) in the colors of their classes (N,) into a copy of an image, enlarged if it is small."""
    canvas, factor = enlarge(image)
    canvas = canvas.copy()
    side_px = min(canvas.shape[:2])
    line_px, scale = 1 + side_px // PX_PER_LINE_PX, max(FONT_SCALE, side_px / PX_PER_FONT_SCALE)
    drawn = [(corners(box * factor, canvas), class_color(int(label))) for box, label in zip(boxes, labels, strict=True)]
    for (x1, y1, x2, y2), color in drawn:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, line_px, cv2.LINE_AA)
    for ((x1, y1, *_), color), caption in zip(drawn, captions, strict=True):
        draw_caption(canvas, x1, y1, caption, color, scale)
    return canvas


def corners(box: np.ndarray, image: np.ndarray) -> tuple[int, ...]:
    """Round the corners of a box, clipped so that the sides outside the image stay outside."""
    return tuple(round(value) for value in np.clip(box, -1, max(image.shape)).tolist())


def draw_caption(
    canvas: np.ndarray, x1: int, y1: int, text: str, color: tuple[int, int, int], scale: float = FONT_SCALE
) -> None:
    """Write a caption above the upper left corner of a box, inside the image."""
    line_px = max(1, round(2 * scale))
    (width, height), below = cv2.getTextSize(text, FONT, scale, line_px)
    left, top = max(0, min(x1, canvas.shape[1] - width - 2 * line_px)), max(0, y1 - height - below)
    cv2.rectangle(canvas, (left, top), (left + width + 2 * line_px, top + height + below), color, -1)
    blue, green, red = color
    ink = (255, 255, 255) if 0.114 * blue + 0.587 * green + 0.299 * red < DARK else (0, 0, 0)
    cv2.putText(canvas, text, (left + line_px, top + height + below // 2), FONT, scale, ink, line_px, cv2.LINE_AA)


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, captions: Sequence[str], color: tuple[int, int, int]
) -> np.ndarray:
    """Draw boxes (N, 4) with captions into a copy of an image; boxes that are not finite are skipped."""
    canvas = image.copy()
    drawn = [(corners(box, canvas), text) for box, text in zip(boxes, captions, strict=True) if np.isfinite(box).all()]
    for (x1, y1, x2, y2), _ in drawn:
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, 2)
    for (x1, y1, *_), caption in drawn:
        if caption:
            draw_caption(canvas, x1, y1, caption, color)
    return canvas


def colors(values: np.ndarray) -> np.ndarray:
    """Color a map (h, w) of values in [0, 1]."""
    colored: np.ndarray = cv2.applyColorMap((values.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return colored


def blend(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Overlay an image with a map (h, w) of values in [0, 1], enlarged to the image without interpolation."""
    height, width = image.shape[:2]
    enlarged = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    blended: np.ndarray = cv2.addWeighted(image, 1 - MAP_OPACITY, colors(enlarged), MAP_OPACITY, 0)
    return blended


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Place two images of the same height next to each other."""
    return np.hstack([left, np.full((left.shape[0], GAP_PX, 3), 255, np.uint8), right])


def montage(images: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Arrange images of the same size in a grid on a white background."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + 2 * GAP_PX), columns * (width + 2 * GAP_PX), 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = index // columns * (height + 2 * GAP_PX) + GAP_PX
        left = index % columns * (width + 2 * GAP_PX) + GAP_PX
        sheet[top : top + height, left : left + width] = image
    return sheet
