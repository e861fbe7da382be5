"""Draws boxes and maps into images and arranges images side by side.

Images are (H, W, 3) uint8 BGR; boxes are [x1, y1, x2, y2] in their pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .annotations import MAX_IMAGE_BYTES, read_bytes
from .image_files import decode

GROUND_TRUTH_COLOR = (80, 220, 80)
PREDICTION_COLOR = (60, 140, 255)
GAP_PX = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
FONT_SCALE = 0.45
MAP_OPACITY = 0.55
MIN_IMAGE_SIDE_PX = 384  # keeps captions legible


def read_enlarged(path: Path | str) -> tuple[np.ndarray, float]:
    """Read an image and enlarge a small one by an integer factor; returns the image and the factor.

    Raises:
        InputError: If the image cannot be read.
    """
    image = decode(read_bytes(Path(path), 'image', MAX_IMAGE_BYTES))
    factor = max(1, round(MIN_IMAGE_SIDE_PX / min(image.shape[:2])))
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), float(factor)


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, captions: Sequence[str], color: tuple[int, int, int]
) -> np.ndarray:
    """Draw boxes (N, 4) with captions into a copy of an image; boxes that are not finite are skipped."""
    canvas = image.copy()
    for box, caption in zip(boxes, captions, strict=True):
        if not np.isfinite(box).all():
            continue
        x1, y1, x2, y2 = (round(value) for value in np.clip(box, -1, max(image.shape)).tolist())
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, 2)
        if not caption:
            continue
        (width, height), _ = cv2.getTextSize(caption, FONT, FONT_SCALE, 1)
        left, top = max(0, min(x1, canvas.shape[1] - width)), max(0, y1 - height - 4)
        cv2.rectangle(canvas, (left, top), (left + width, top + height + 4), color, -1)
        cv2.putText(canvas, caption, (left, top + height + 1), FONT, FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
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
