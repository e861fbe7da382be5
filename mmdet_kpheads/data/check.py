"""Finds problems of a dataset: those that stop a training, and those that only degrade it.

Boxes are [x1, y1, x2, y2] in pixels.
"""

import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, listed, shown
from .annotations import AnnotatedImage, AnnotationFile, Problem
from .dataset_sources import DatasetSource, dataset_sources
from .image_files import image_file_problems

MIN_BOX_SIDE_PX = 1  # CocoDataset drops narrower boxes
ROUNDING_PX = 0.5  # of coordinates in files, YOLO's relative ones among them
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
            more = f' (and {len(found) - 1} more errors: mmdet-kpheads check-dataset lists them)' if found[1:] else ''
            raise InputError(f'{found[0]}{more}')
        files.append(annotations)
    return files


def fatal_problems(annotations: AnnotationFile, source: DatasetSource) -> list[Problem]:
    """List the problems that make a dataset unusable: broken entries, missing images, unknown classes, no objects."""
    found = [problem for problem in annotations.problems if problem.fatal]
    found += [*missing_images(annotations), *class_problems(annotations, source)]
    return found or no_objects(annotations)  # with other errors, objects may be missing because of them


def all_problems(annotations: AnnotationFile, source: DatasetSource, open_images: bool = True) -> list[Problem]:
    """List the fatal problems, those of the image files if these are opened, and those that degrade a training."""
    found = fatal_problems(annotations, source)
    if open_images:
        known = {problem.where for problem in found}
        images = [image for image in annotations.images if image.entry not in known]
        found += image_file_problems(images, source.decoding())
    return [*found, *problems(annotations, source.classes)]


def no_objects(annotations: AnnotationFile) -> list[Problem]:
    """Report a dataset without images, or without an object to train."""
    if not annotations.images:
        value = 'it lists no images'
    elif not any(image.boxes for image in annotations.images):
        value = f'its {len(annotations.images)} images have no annotations'
    elif all(all(image.ignored) for image in annotations.images):
        value = 'all its objects are crowds or difficult'
    else:
        return []
    return [Problem('dataset is empty', shown(annotations.path), value)]


def class_problems(annotations: AnnotationFile, source: DatasetSource) -> Iterator[Problem]:
    """Report classes of the config that the annotations do not have, or have twice.

    A COCO file must declare each class. VOC declares no classes, so one object of one class is enough.
    """
    path, counts = shown(annotations.path), Counter(annotations.classes)
    if twice := [name for name in source.classes if counts[name] > 1]:
        yield Problem('name of category is used twice', path, listed(twice))
    unknown = [name for name in source.classes if not counts[name]]
    if unknown and not (source.is_voc and len(unknown) < len(source.classes)):
        value = f'the config has {listed(source.classes)}, the file {listed(counts)}'
        yield Problem('class names differ', path, f'{value}; not found there: {listed(unknown)}')


def missing_images(annotations: AnnotationFile) -> Iterator[Problem]:
    """Report images that are missing or empty; lists folders instead of opening files."""
    by_folder: dict[Path, list[AnnotatedImage]] = {}
    for image in annotations.images:
        by_folder.setdefault(image.path.parent, []).append(image)
    for folder, images in by_folder.items():
        try:
            with os.scandir(folder) as entries:
                present = {entry.name: entry for entry in entries}
        except (OSError, ValueError):
            yield Problem('image folder not found', images[0].entry, shown(folder))
            continue
        yield from _missing_of(images, present)


def _missing_of(images: list[AnnotatedImage], present: Mapping[str, os.DirEntry]) -> Iterator[Problem]:
    by_stem: dict[str, list[str]] = {}
    for name in present:
        by_stem.setdefault(Path(name).stem, []).append(name)
    for image in images:
        entry, where, path = present.get(image.path.name), image.entry, shown(image.path)
        if entry is None:
            near = by_stem.get(image.path.stem)  # the dataset opens the path as written, VOC always name.jpg
            hint = f'; the folder has {listed(near)}: rename it or convert it' if near else ''
            yield Problem('image not found', where, path + hint)
        elif not entry.is_file():
            yield Problem('image is not a regular file', where, path)
        elif not entry.stat().st_size:
            yield Problem('image file is empty', where, path)


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
    if min(x1, y1, size[0] - x2, size[1] - y2) < -ROUNDING_PX:
        return BEYOND_IMAGE
    if min(x2 - x1, y2 - y1) < MIN_BOX_SIDE_PX:
        return 'box is narrower than a pixel'
    return None


def sizes_of_boxes(images: Iterable[AnnotatedImage]) -> list[tuple[float, float]]:
    """Width and height of each box that is not broken."""
    return [
        (box[2] - box[0], box[3] - box[1])
        for image in images
        for box in image.boxes
        if box_problem(box, image.size) in (None, BEYOND_IMAGE)
    ]


def size_range(sizes: Sequence[tuple[float, float]]) -> str:
    """The smallest and the largest of sizes (width, height) by area, in words."""
    ends = [pick(sizes, key=lambda size: size[0] * size[1], default=None) for pick in (min, max)]
    words = [f'{end[0]:.0f} x {end[1]:.0f}' for end in ends if end]
    return f'from {" to ".join(words)} pixels' if words else 'of unknown size'


def problems(annotations: AnnotationFile, classes: tuple[str, ...]) -> Iterator[Problem]:
    """Find the problems that degrade a training, in the order of the images.

    Args:
        annotations: Annotations of a dataset.
        classes: Class names of the config.
    """
    yield from (problem for problem in annotations.problems if not problem.fatal)
    for image in annotations.images:
        for kind in image_problems(image):
            yield Problem(kind, image.entry, shown(image.path), fatal=False)
        for index, (box, name) in enumerate(zip(image.boxes, image.names, strict=True)):
            where, value = image.object_name(index), f'{shown(name)} {[round(number, 1) for number in box]}'
            if min(image.size) > 0 and (of_box := box_problem(box, image.size)):
                yield Problem(of_box, where, value, fatal=False)
            if name not in classes:
                yield Problem('class is not in the config', where, value, fatal=False)


def image_problems(image: AnnotatedImage) -> Iterator[str]:
    """Report what is wrong with an image as a whole."""
    if not image.boxes:
        yield 'image without objects'
    elif all(image.ignored):
        yield 'image with only crowds or difficult objects'
    if min(image.size) <= 0:
        yield 'image without a size'
    if not str(image.path).isprintable():
        yield 'path has characters that cannot be printed'


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
    """Summarize a dataset as text: counts, and shared cells.

    Args:
        annotations: Annotations of the dataset.
        classes: Class names of the config.
        stride: See :func:`count_shared_cells`.
        longer_side: See :func:`count_shared_cells`.
    """
    objects = sum(len(image.boxes) for image in annotations.images)
    lines = [f'{shown(annotations.path)}: {len(annotations.images)} images, {objects} objects']
    counts = class_counts(annotations, classes)
    lines += [
        f'  {name if name.isprintable() else shown(name)}: {count}{"" if name in classes else " (not in the config)"}'
        for name, count in counts.items()
        if count
    ]
    if missing := [name for name, count in counts.items() if not count]:
        lines.append(f'  without objects: {listed(missing, len(missing))}')
    shared = sum(count_shared_cells(image, stride, longer_side) for image in annotations.images)
    rate = 100 * shared / max(objects, 1)
    lines.append(f'  {shared} objects ({rate:.2f}%) share class and center cell at stride {stride}')
    return '\n'.join(lines)


def problem_list(found: Iterable[Problem], limit: int | None) -> str:
    """List problems by kind, those that stop a training first.

    Args:
        found: The problems.
        limit: Locations per kind; None for all.
    """
    kinds: dict[tuple[bool, str], list[Problem]] = {}
    for problem in found:
        kinds.setdefault((not problem.fatal, problem.kind), []).append(problem)
    lines = []
    for (degrades, kind), alike in sorted(kinds.items(), key=lambda item: item[0][0]):
        lines.append(f'  {"warning" if degrades else "ERROR"}: {kind} ({len(alike)})')
        lines += [f'    {problem.location}' for problem in alike[:limit]]
        if limit is not None and len(alike) > limit:
            lines.append(f'    ... and {len(alike) - limit} more')
    return '\n'.join(lines) or '  no problems found'
