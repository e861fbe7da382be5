"""Finds the images with most errors, and draws ground truth and predictions of an image."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy import ndarray

from ..data.visualization import draw_boxes, read_enlarged
from ..evaluation.box_matching import Found, Objects
from .detection_statistics import ALONE
from .evaluated import Evaluated
from .figures import BLUE, GRAY, GREEN, VERMILION

MAX_SIDE_PX = 640
JPEG_QUALITY = 82
MAX_CAPTIONS = 8  # right boxes of a crowded image have no caption, so that the errors stand out


class Errors(NamedTuple):
    """What is wrong in each image, (images,) int each."""

    objects: ndarray  # those that count
    missed: ndarray
    false: ndarray
    confused: ndarray  # found as another class

    @property
    def total(self) -> ndarray:
        """Sum of all."""
        return self.missed + self.false + self.confused


class Kinds(NamedTuple):
    """What became of each detection and each object, bool each."""

    correct: ndarray  # (D,)
    confused: ndarray  # (D,)
    false: ndarray  # (D,)
    found: ndarray  # (N,) as the right class
    mistaken: ndarray  # (N,) as another one
    missed: ndarray  # (N,)


def kinds(found: Found, truth: Objects, assigned: ndarray, num_images: int) -> Kinds:
    """Sort detections and objects by what ``detection_statistics.assign`` returned."""
    has_object = assigned >= 0
    thing = assigned[has_object]
    correct, confused = np.zeros_like(has_object), np.zeros_like(has_object)
    correct[has_object] = (found.cell[has_object] // num_images) == (truth.cell[thing] // num_images)
    confused[has_object] = ~correct[has_object]
    is_found, mistaken = np.zeros(len(truth.cell), bool), np.zeros(len(truth.cell), bool)
    is_found[assigned[correct]], mistaken[assigned[confused]] = True, True
    return Kinds(correct, confused, assigned == ALONE, is_found, mistaken, ~(is_found | mistaken | truth.is_crowd))


def count_errors(found: Found, truth: Objects, sorted_out: Kinds, num_images: int) -> Errors:
    """Count the errors of each image."""

    def per_image(cell: ndarray, which: ndarray) -> ndarray:
        return np.bincount(cell[which] % num_images, minlength=num_images)

    return Errors(
        per_image(truth.cell, ~truth.is_crowd),
        per_image(truth.cell, sorted_out.missed),
        per_image(found.cell, sorted_out.false),
        per_image(found.cell, sorted_out.confused),
    )


def worst_first(errors: Errors) -> ndarray:
    """Images with errors, most errors first; of equal ones that with fewer objects."""
    order = np.lexsort((errors.objects, -errors.total))
    return order[errors.total[order] > 0]


def bgr(color: str) -> tuple[int, int, int]:
    """A color ``#RRGGBB`` as OpenCV takes it."""
    red, green, blue = bytes.fromhex(color[1:])
    return blue, green, red


def fit(image: ndarray, side_px: int = MAX_SIDE_PX) -> tuple[ndarray, float]:
    """Shrink an image so that no side is longer; returns the image and the factor."""
    factor = min(1.0, side_px / max(image.shape[:2]))
    if factor == 1:
        return image, 1.0
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), factor


def jpeg(image: ndarray) -> bytes:
    """Encode an image, shrunk to ``MAX_SIDE_PX``."""
    return cv2.imencode('.jpg', fit(image)[0], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def draw_pair(evaluated: Evaluated, found: Found, sorted_out: Kinds, image: int) -> tuple[bytes, bytes]:
    """Ground truth and predictions of an image as JPEG.

    Blue boxes are right; orange ones are missed or false; green ones are found as another class; gray ones do not
    count.

    Args:
        evaluated: Of the set.
        found: Its detections above the threshold.
        sorted_out: What became of them.
        image: Index.

    Raises:
        InputError: If the image cannot be read.
    """
    pixels, enlarged = read_enlarged(Path(evaluated.paths[image]))
    pixels, shrunk = fit(pixels)
    truth, count = evaluated.truth, evaluated.num_images
    of_truth, of_found = np.flatnonzero(truth.cell % count == image), np.flatnonzero(found.cell % count == image)
    true_colors = np.select(
        [truth.is_crowd[of_truth], sorted_out.missed[of_truth], sorted_out.mistaken[of_truth]], [3, 1, 2], 0
    )
    found_colors = np.select(
        [sorted_out.correct[of_found], sorted_out.false[of_found], sorted_out.confused[of_found]], [0, 1, 2], 3
    )
    names = evaluated.classes
    drawn = []
    for side, rows, color in ((truth, of_truth, true_colors), (found, of_found, found_colors)):
        captions = [names[cell // count] for cell in side.cell[rows]]
        if isinstance(side, Found):
            captions = [f'{name} {score:.2f}' for name, score in zip(captions, side.score[rows], strict=True)]
        boxes = np.concatenate((side.xywh[rows, :2], side.xywh[rows, :2] + side.xywh[rows, 2:]), 1)
        drawn.append(jpeg(draw_kinds(pixels, boxes * enlarged * shrunk, captions, color)))
    return drawn[0], drawn[1]


def draw_kinds(pixels: ndarray, boxes: ndarray, captions: list[str], color: ndarray) -> ndarray:
    """Draw boxes in the color of their kind: right, wrong, confused, not counted; the wrong ones last."""
    canvas = pixels
    for kind, tint in ((3, GRAY), (0, BLUE), (2, GREEN), (1, VERMILION)):
        rows = np.flatnonzero(color == kind)
        named = kind in (1, 2) or len(boxes) <= MAX_CAPTIONS
        texts = [captions[row] if named else '' for row in rows]
        canvas = draw_boxes(canvas, boxes[rows], texts, bgr(tint))
    return canvas
