"""Finds problems of a dataset: those that stop a training, and those that only degrade it.

Boxes are [x1, y1, x2, y2] in pixels.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import cv2

from ..errors import InputError, listed
from .annotations import AnnotatedImage, AnnotationFile
from .dataset_sources import DatasetSource, dataset_sources

MIN_BOX_SIDE_PX = 1  # CocoDataset drops narrower boxes
BEYOND_IMAGE = 'box extends beyond the image'


def require_readable(cfg: Mapping[str, Any]) -> list[AnnotationFile]:
    """Stop at the first problem that makes training or testing on a dataset impossible.

    Args:
        cfg: A dataset config; formats other than COCO and VOC are not checked.

    Returns:
        The annotations of each dataset.

    Raises:
        InputError: For a missing or broken file and for any of :func:`fatal_problems`; the message names the file.
    """
    files = []
    for source in dataset_sources(cfg):
        annotations = source.read()
        if found := fatal_problems(annotations, source):
            raise InputError(found[0])
        files.append(annotations)
    return files


def fatal_problems(annotations: AnnotationFile, source: DatasetSource) -> list[str]:
    """List the problems that make a dataset unusable: no objects, unknown class names, missing images."""
    found = (no_objects(annotations), unknown_classes(annotations, source), missing_images(annotations))
    return [problem for problem in found if problem]


def no_objects(annotations: AnnotationFile) -> str | None:
    """Report a dataset without images or without objects."""
    if not annotations.images:
        return f'{annotations.path} is empty: it lists no images'
    if not any(image.boxes for image in annotations.images):
        return f'{annotations.path} is empty: its {len(annotations.images)} images have no annotations'
    return None


def unknown_classes(annotations: AnnotationFile, source: DatasetSource) -> str | None:
    """Report classes of the config that the annotations do not have.

    A COCO file must declare each class. VOC declares no classes, so one object of one class is enough.
    """
    unknown = [name for name in source.classes if name not in annotations.classes]
    if not unknown or (source.is_voc and len(unknown) < len(source.classes)):
        return None
    return (
        f'class names differ: the config has {listed(source.classes)}, '
        f'{annotations.path} has {listed(annotations.classes)}; not found there: {listed(unknown)}'
    )


def missing_images(annotations: AnnotationFile) -> str | None:
    """Report the first missing image; lists folders instead of opening files."""
    paths = [image.path for image in annotations.images]
    present = {folder: set(os.listdir(folder)) for folder in {path.parent for path in paths} if folder.is_dir()}
    missing = [path for path in paths if path.name not in present.get(path.parent, ())]
    if not missing:
        return None
    if missing[0].parent not in present:
        return f'image folder not found: {missing[0].parent} (for {annotations.path})'
    return f'image not found: {missing[0]} ({len(missing)} of the {len(paths)} images in {annotations.path})'


def box_problem(box: list[float], size: tuple[int, int]) -> str | None:
    """Report the problem of a box in an image of the given size (width, height), or None."""
    x1, y1, x2, y2 = box
    if not all(math.isfinite(value) for value in box):
        return 'box is not finite'
    if x2 < x1 or y2 < y1:
        return 'box has reversed corners'
    if x2 == x1 or y2 == y1:
        return 'box has no area'
    if x2 <= 0 or y2 <= 0 or x1 >= size[0] or y1 >= size[1]:
        return 'box is outside the image'
    if x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1]:
        return BEYOND_IMAGE
    if min(x2 - x1, y2 - y1) < MIN_BOX_SIDE_PX:
        return 'box is narrower than a pixel'
    return None


def problems(annotations: AnnotationFile, classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Find the problems that degrade a training, in the order of the images.

    Args:
        annotations: Annotations of a dataset.
        classes: Class names of the config.

    Yields:
        Kind and location of each problem.
    """
    for image in annotations.images:
        if not image.boxes:
            yield 'image without objects', image.path.name
        if min(image.size) <= 0:
            yield 'image without a size', image.path.name
            continue
        for box, name in zip(image.boxes, image.names, strict=True):
            where = f'{image.path.name}: {name} {[round(value, 1) for value in box]}'
            if problem := box_problem(box, image.size):
                yield problem, where
            if name not in classes:
                yield 'class is not in the config', where


def count_shared_cells(image: AnnotatedImage, stride: int, longer_side: int | None = None) -> int:
    """Count the objects whose center is in the same cell as that of another object of their class.

    Args:
        image: The image.
        stride: Pixels of the network input per cell.
        longer_side: Length to which the longer side of the image is resized; None for no resize.
    """
    scale = longer_side / max(image.size) if longer_side else 1.0
    centers = Counter(
        (name, int((box[0] + box[2]) * scale / 2 // stride), int((box[1] + box[3]) * scale / 2 // stride))
        for box, name in zip(image.boxes, image.names, strict=True)
        if box_problem(box, image.size) in (None, BEYOND_IMAGE)
    )
    return sum(count - 1 for count in centers.values())


def class_counts(annotations: AnnotationFile, classes: tuple[str, ...]) -> dict[str, int]:
    """Count the objects of each class of the config, zeros included, then of all other classes."""
    counts = Counter(name for image in annotations.images for name in image.names)
    return dict.fromkeys(classes, 0) | dict(counts)


def report(
    annotations: AnnotationFile, classes: tuple[str, ...], stride: int = 4, longer_side: int | None = None
) -> str:
    """Summarize a dataset as text: counts, each kind of problem with an example, and shared cells.

    Args:
        annotations: Annotations of the dataset.
        classes: Class names of the config.
        stride: See :func:`count_shared_cells`.
        longer_side: See :func:`count_shared_cells`.
    """
    objects = sum(len(image.boxes) for image in annotations.images)
    lines = [f'{annotations.path}: {len(annotations.images)} images, {objects} objects']
    lines += [
        f'  {name}: {count}{"" if name in classes else " (not in the config)"}'
        for name, count in class_counts(annotations, classes).items()
    ]
    found = list(problems(annotations, classes))
    examples = dict(reversed(found))  # the first of each kind
    counts = Counter(kind for kind, _ in found)
    lines += [f'  {count} x {kind}, for example {examples[kind]}' for kind, count in counts.items()]
    shared = sum(count_shared_cells(image, stride, longer_side) for image in annotations.images)
    rate = 100 * shared / max(objects, 1)
    lines.append(f'  {shared} objects ({rate:.2f}%) share class and center cell at stride {stride}')
    return '\n'.join(lines)


def image_file_problems(annotations: AnnotationFile) -> Iterator[str]:
    """Read every image and report those that are broken or whose size differs from the annotation."""
    for image in annotations.images:
        pixels = cv2.imread(str(image.path))
        if pixels is None:
            yield f'{image.path} cannot be read as an image'
        elif (pixels.shape[1], pixels.shape[0]) != tuple(image.size):
            yield f'{image.path} is {pixels.shape[1]} x {pixels.shape[0]}, but annotated as {image.size}'
