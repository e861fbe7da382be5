"""Reads YOLO labels: a text file per image, and the class names in ``data.yaml`` or ``classes.txt``.

A line is ``class x y width height`` relative to the image, or ``class x y x y ...`` with the corners of a polygon.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .annotations import AnnotatedImage, read_text

SPLITS = {'train': 'train', 'val': 'val', 'valid': 'val', 'test': 'test'}  # keys of data.yaml
NAME_FILES = ('classes.txt', 'obj.names')
POLYGON_MIN_NUMBERS = 6
BOX_NUMBERS = (4, 5)  # predictions add a score


def read_names(files: Mapping[str, Sequence[Path]]) -> tuple[tuple[str, ...], dict[str, list[Path]]]:
    """Find the class names, and the image folders of each split where ``data.yaml`` names existing ones.

    Args:
        files: Files of the dataset by suffix.

    Raises:
        InputError: If a file is broken.
    """
    for path in (*files['.yaml'], *files['.yml']):
        content = _read_yaml(path)
        if isinstance(content, dict) and content.get('names'):
            names = content['names']
            ordered = [names[key] for key in sorted(names)] if isinstance(names, dict) else names
            return tuple(map(str, ordered)), _sources(path, content)
    for path in (*files['.txt'], *files['.names']):
        if path.name in NAME_FILES:
            lines = read_text(path, 'class names').splitlines()
            return tuple(line.strip() for line in lines if line.strip()), {}
    return (), {}


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path, 'dataset file'))
    except yaml.YAMLError as error:
        raise InputError(f'broken YAML in {path}: {" ".join(str(error).split())}') from error


def _sources(path: Path, content: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Resolve the paths of the splits; {} unless training images and validation images are found."""
    found: dict[str, list[Path]] = {}
    for key, split in SPLITS.items():
        values = content.get(key) or []
        for value in values if isinstance(values, list) else [values]:
            inside = str(value)
            while inside.startswith('../'):  # exports start from a folder that is not there
                inside = inside[3:]
            candidates = (path.parent / str(content.get('path') or '') / str(value), path.parent / inside)
            found.setdefault(split, []).extend([candidate for candidate in candidates if candidate.is_dir()][:1])
    return found if found.get('train') and found.get('val') else {}


def is_listed(image: Path, sources: Sequence[Path]) -> bool:
    """Whether the path of an image, which may be a link, is in one of the folders."""
    return any(Path(os.path.abspath(image)).is_relative_to(os.path.abspath(source)) for source in sources)


def label_path(image: Path) -> Path:
    """The label file of an image: in ``labels`` where the image is in ``images``, or beside it."""
    parts = list(image.with_suffix('.txt').parts)
    if 'images' in parts:
        parts[len(parts) - 1 - parts[::-1].index('images')] = 'labels'
    return Path(*parts)


def read_labels(path: Path, image: Path, size: tuple[int, int], classes: Sequence[str]) -> AnnotatedImage:
    """Read the objects of an image; without a label file it has none.

    Args:
        path: The label file.
        image: Path of the image.
        size: Its width and height.
        classes: Class names.

    Raises:
        InputError: If a line is not a label. The message names file and line.
    """
    result = AnnotatedImage(image, size)
    lines = read_text(path, 'labels').splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label, *values = (float(word) for word in line.split())
            result.names.append(dict(enumerate(classes))[int(label)])
            result.boxes.append(_box(values, size))
        except (ValueError, KeyError) as error:
            raise InputError(
                f'{path}, line {number}: expected a class below {len(classes)} and x y width height, or a polygon, '
                f'but found {line!r}'
            ) from error
    return result


def _box(values: list[float], size: tuple[int, int]) -> list[float]:
    """Corners in pixels of a box or polygon that is relative to the image."""
    width, height = size
    if len(values) in BOX_NUMBERS:
        x, y, w, h = values[:4]
        xs, ys = [x - w / 2, x + w / 2], [y - h / 2, y + h / 2]
    elif len(values) >= POLYGON_MIN_NUMBERS and len(values) % 2 == 0:
        xs, ys = values[::2], values[1::2]
    else:
        raise ValueError(f'{len(values)} numbers')
    return [min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height]
