"""What is wrong with a data set: faults that stop a training, and those that only spoil it.

Boxes are [x1, y1, x2, y2] in pixels.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import cv2

from ..errors import InputError, listed
from .annotations import ImageTruth, Truth
from .config_sources import Source, sources

MIN_SIDE_PX = 1  # CocoDataset drops narrower boxes


def require_readable(cfg: Mapping[str, Any]) -> list[Truth]:
    """Stop at the first fault with which a data set cannot be trained or tested on.

    Args:
        cfg: A data set config; what is neither COCO nor VOC is not looked at.

    Returns:
        The ground truth that was read, one for each annotation file.

    Raises:
        InputError: For a missing or broken file and for what :func:`fatal_faults` finds; it names the file.
    """
    truths = []
    for source in sources(cfg):
        truth = source.read()
        for fault in fatal_faults(truth, source):
            raise InputError(fault)
        truths.append(truth)
    return truths


def fatal_faults(truth: Truth, source: Source) -> list[str]:
    """List what makes a data set useless: no objects, class names that are not in it, missing images."""
    return [fault for fault in (no_objects(truth), wrong_classes(truth, source), missing_images(truth)) if fault]


def no_objects(truth: Truth) -> str | None:
    """Name a data set without images or without objects."""
    if not truth.images:
        return f'{truth.source} is empty: it names no images'
    if not any(image.boxes for image in truth.images):
        return f'{truth.source} is empty: its {len(truth.images)} images have no annotations'
    return None


def wrong_classes(truth: Truth, source: Source) -> str | None:
    """Name the classes of the config that the annotations do not know.

    A COCO file must declare each class. VOC declares none: there one object of one class is enough.
    """
    unknown = [name for name in source.classes if name not in truth.classes]
    if not unknown or (source.is_voc and len(unknown) < len(source.classes)):
        return None
    return (
        f'class names differ: the config has {listed(source.classes)}, '
        f'{truth.source} has {listed(truth.classes)}; not found there: {listed(unknown)}'
    )


def missing_images(truth: Truth) -> str | None:
    """Name the first missing image; reads folders, not files."""
    paths = [image.path for image in truth.images]
    present = {folder: set(os.listdir(folder)) for folder in {path.parent for path in paths} if folder.is_dir()}
    missing = [path for path in paths if path.name not in present.get(path.parent, ())]
    if not missing:
        return None
    if missing[0].parent not in present:
        return f'image folder not found: {missing[0].parent} (for {truth.source})'
    return f'image not found: {missing[0]} ({len(missing)} of the {len(paths)} images that {truth.source} names)'


def box_fault(box: list[float], size: tuple[int, int]) -> str | None:
    """Name what is wrong with a box in an image of a size (width, height); None if nothing is."""
    x1, y1, x2, y2 = box
    if not all(math.isfinite(value) for value in box):
        return 'box is not finite'
    if x2 < x1 or y2 < y1:
        return 'box has its corners reversed'
    if x2 == x1 or y2 == y1:
        return 'box has no area'
    if x2 <= 0 or y2 <= 0 or x1 >= size[0] or y1 >= size[1]:
        return 'box lies outside the image'
    if x1 < 0 or y1 < 0 or x2 > size[0] or y2 > size[1]:
        return 'box reaches beyond the image'
    if min(x2 - x1, y2 - y1) < MIN_SIDE_PX:
        return 'box is narrower than a pixel'
    return None


def faults(truth: Truth, classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Find what spoils a training, in order of the images.

    Args:
        truth: Ground truth of a data set.
        classes: Class names of the config.

    Yields:
        Kind of fault, and where it is.
    """
    for image in truth.images:
        if not image.boxes:
            yield 'image without objects', image.path.name
        if min(image.size) <= 0:
            yield 'image without a size', image.path.name
            continue
        for box, name in zip(image.boxes, image.names, strict=True):
            where = f'{image.path.name}: {name} {[round(value, 1) for value in box]}'
            if fault := box_fault(box, image.size):
                yield fault, where
            if name not in classes:
                yield 'class is not in the config', where


def shared_cells(image: ImageTruth, stride: int, longer_side: int | None = None) -> int:
    """Count the objects of an image whose center lies in the same cell as that of another of the same class.

    Args:
        image: The image.
        stride: Pixels of the network input per cell.
        longer_side: What the longer side of the image is resized to; None for no resize.
    """
    scale = longer_side / max(image.size) if longer_side else 1.0
    centers = Counter(
        (name, int((box[0] + box[2]) * scale / 2 // stride), int((box[1] + box[3]) * scale / 2 // stride))
        for box, name in zip(image.boxes, image.names, strict=True)
        if box_fault(box, image.size) in (None, 'box reaches beyond the image')
    )
    return sum(count - 1 for count in centers.values())


def class_counts(truth: Truth, classes: tuple[str, ...]) -> dict[str, int]:
    """Count the objects of each class of the config, none included, then of every other class."""
    counts = Counter(name for image in truth.images for name in image.names)
    return dict.fromkeys(classes, 0) | dict(counts)


def report(truth: Truth, classes: tuple[str, ...], stride: int = 4, longer_side: int | None = None) -> str:
    """Describe a data set in text: counts, every kind of fault with an example, and shared cells.

    Args:
        truth: Ground truth of the data set.
        classes: Class names of the config.
        stride: As in :func:`shared_cells`.
        longer_side: As in :func:`shared_cells`.
    """
    objects = sum(len(image.boxes) for image in truth.images)
    lines = [f'{truth.source}: {len(truth.images)} images, {objects} objects']
    lines += [
        f'  {name}: {count}{"" if name in classes else " (not in the config)"}'
        for name, count in class_counts(truth, classes).items()
    ]
    found = list(faults(truth, classes))
    examples = dict(reversed(found))  # the first of each kind
    counts = Counter(kind for kind, _ in found)
    lines += [f'  {count} x {kind}, such as {examples[kind]}' for kind, count in counts.items()]
    shared = sum(shared_cells(image, stride, longer_side) for image in truth.images)
    rate = 100 * shared / max(objects, 1)
    lines.append(f'  {shared} objects ({rate:.2f}%) share class and center cell at stride {stride}')
    return '\n'.join(lines)


def file_faults(truth: Truth) -> Iterator[str]:
    """Read every image and find those that are broken or of another size than their annotation says."""
    for image in truth.images:
        pixels = cv2.imread(str(image.path))
        if pixels is None:
            yield f'{image.path} cannot be read as an image'
        elif (pixels.shape[1], pixels.shape[0]) != tuple(image.size):
            yield f'{image.path} is {pixels.shape[1]} x {pixels.shape[0]}, but annotated as {image.size}'
