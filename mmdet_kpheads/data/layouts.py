"""Finds the dataset in a folder: its format, its splits, the images of each and the class names.

Known are COCO files, VOC annotations and YOLO labels, each in the folders that common tools write.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, listed
from . import yolo
from .annotations import AnnotatedImage, AnnotationFile, read_coco, read_json, read_text, read_voc_image
from .check import missing_images
from .image_files import IMAGE_SUFFIXES, image_size

EVERYTHING = 'all'  # the split of files whose path names none
SPLIT_WORDS = {'train': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'dev': 'val', 'test': 'test'}
SPLIT_WORD = re.compile(rf'(?<![a-z])({"|".join(SPLIT_WORDS)})(?![a-z])')
COCO_KEYS = {'images', 'annotations', 'categories'}


@dataclass
class Split:
    """Images of one split.

    Attributes:
        images: The images with their objects.
        folder: A folder that contains all of them.
        coco_file: The COCO file that describes them relative to the folder, if there is one.
    """

    images: list[AnnotatedImage]
    folder: Path
    coco_file: Path | None = None


@dataclass
class FoundDataset:
    """A dataset: format, class names, and splits by name (``train``, ``val``, ``test``, ``all``)."""

    format: str
    classes: tuple[str, ...]
    splits: dict[str, Split]


class DatasetFolder:
    """The files of a folder and of all folders below it, without hidden ones.

    Args:
        root: The folder.

    Raises:
        InputError: If there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f'dataset folder not found: {root}')
        self.root = root
        self.by_suffix: dict[str, list[Path]] = defaultdict(list)
        self.images_by_name: dict[str, list[Path]] = defaultdict(list)
        for path in _files(root):
            self.by_suffix[path.suffix.lower()].append(path)
        self.images = sorted(path for suffix in IMAGE_SUFFIXES for path in self.by_suffix[suffix])
        for path in self.images:
            for name in (path.name, path.stem):
                self.images_by_name[name.lower()].append(path)

    def split_of(self, path: Path) -> str:
        """The split that the path of a file names, the last part that names one; ``all`` if none does."""
        for part in reversed(path.relative_to(self.root).with_suffix('').parts):
            if word := SPLIT_WORD.search(part.lower()):
                return SPLIT_WORDS[word[0]]
        return EVERYTHING

    def image_of(self, name: str, annotation: Path) -> Path | None:
        """Find an image by the name in its annotation, or else by that of the annotation; the nearest of several."""
        names = (name.lower(), Path(name).stem.lower(), annotation.stem.lower())
        found = next((self.images_by_name[key] for key in names if key in self.images_by_name), [])
        return max(found, key=lambda path: len(os.path.commonpath((path, annotation))), default=None)


def _files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith('.'))


def find_dataset(root: Path, kind: str | None = None) -> FoundDataset:
    """Find the dataset in a folder.

    Args:
        root: The folder.
        kind: Its format, a key of ``FORMATS``; None takes the first that is there.

    Raises:
        InputError: If there is no dataset of a known format, or one that is incomplete. The message names the file.
    """
    folder = DatasetFolder(root)
    for name, read in FORMATS.items():
        found = read(folder) if kind in (None, name) else None
        if found and any(split.images for split in found.splits.values()):
            return found
    raise InputError(
        f'no {kind or "COCO, VOC or YOLO"} dataset in {root}: it has {len(folder.images)} images, '
        f'{len(folder.by_suffix[".json"])} .json, {len(folder.by_suffix[".xml"])} .xml and '
        f'{len(folder.by_suffix[".txt"])} .txt files. Expected are COCO files, VOC annotations, or YOLO labels with '
        'data.yaml or classes.txt'
    )


# ---- COCO ----


def find_coco(folder: DatasetFolder) -> FoundDataset | None:
    """Read the COCO files of a folder, one per split."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in folder.by_suffix['.json']:
        content = read_json(path)
        if isinstance(content, dict) and content.keys() >= COCO_KEYS:
            files[folder.split_of(path)].append(path)
    if not files:
        return None
    read = {name: read_coco(_only(name, paths), Path()) for name, paths in files.items()}
    splits = {name: _coco_split(folder, name, annotations) for name, annotations in read.items()}
    declared = dict.fromkeys(name for annotations in read.values() for name in annotations.classes)
    used = {name for split in splits.values() for image in split.images for name in image.names}
    parents = {name for annotations in read.values() for name in _supercategories(annotations.path)}
    return FoundDataset('coco', tuple(name for name in declared if name in used or name not in parents), splits)


def _only(split: str, paths: list[Path]) -> Path:
    """The one file of a split; beside COCO's captions and keypoints, that of the boxes."""
    instances = [path for path in paths if path.stem.startswith('instances')]
    if 1 not in (len(paths), len(instances)):
        names = listed([str(path) for path in paths])
        raise InputError(f'{len(paths)} COCO files for the split {split!r}: {names}; leave one of them in the folder')
    return (instances or paths)[0]


def _supercategories(path: Path) -> set[str]:
    """Names that group other categories; exports list such a group as a category without objects."""
    pairs = [(category['name'], category.get('supercategory')) for category in read_json(path)['categories']]
    return {parent for name, parent in pairs if parent != name}


def _coco_split(folder: DatasetFolder, name: str, annotations: AnnotationFile) -> Split:
    """Find the folder that the file names of a COCO file are relative to."""
    if not annotations.images:
        raise InputError(f'{annotations.path} lists no images')
    candidates: Counter[Path] = Counter()
    for image in annotations.images:
        parts = image.path.parts
        for path in folder.images_by_name[image.path.name.lower()]:
            if path.parts[-len(parts) :] == parts:
                candidates[Path(*path.parts[: -len(parts)])] += 1
    if not candidates:
        example = annotations.images[0].path
        raise InputError(f'{annotations.path}: none of its images is in {folder.root}, for example {example}')
    # of several copies, such as those of a VOC layout beside it, the one that is less deep in the folder
    images = max(candidates, key=lambda path: (candidates[path], folder.split_of(path / 'x') == name, -len(path.parts)))
    for image in annotations.images:
        image.path = images / image.path
    for problem in (*annotations.problems, *missing_images(annotations)):
        if problem.fatal:
            raise InputError(str(problem))
    return Split(annotations.images, images, annotations.path)


# ---- VOC ----


def find_voc(folder: DatasetFolder) -> FoundDataset | None:
    """Read the VOC annotations of a folder; the lists in ``ImageSets/Main`` or the folders name the splits."""
    annotations = folder.by_suffix['.xml']
    if not annotations:
        return None
    images = {path: _voc_image(folder, path) for path in annotations}
    by_stem = {path.stem: image for path, image in images.items()}
    splits: dict[str, Split] = {}
    for path in folder.by_suffix['.txt']:
        if path.parent.name == 'Main' and path.stem in SPLIT_WORDS.values():
            names = [line.strip() for line in read_text(path, 'image list').splitlines() if line.strip()]
            if missing := [name for name in names if name not in by_stem]:
                raise InputError(f'{path}: no annotation {missing[0]}.xml ({len(missing)} of {len(names)} are missing)')
            splits[path.stem] = Split([by_stem[name] for name in names], folder.root)
    if not splits:
        splits = by_folder(folder, images.items())
    used = {name for image in images.values() for name in image.names}
    return FoundDataset('voc', tuple(sorted(used)), splits)


def _voc_image(folder: DatasetFolder, path: Path) -> AnnotatedImage:
    image = read_voc_image(path)
    found = folder.image_of(image.path.name, path)
    if not found:
        raise InputError(f'{path}: its image {image.path.name} is not in {folder.root}, with any extension')
    image.path = found
    if min(image.size) <= 0:
        image.size = image_size(found)
    return image


# ---- YOLO ----


def find_yolo(folder: DatasetFolder) -> FoundDataset | None:
    """Read the YOLO labels of a folder; ``data.yaml`` or the folders name the splits."""
    classes, written = yolo.read_names(folder.by_suffix)
    labels = {path: yolo.label_path(path) for path in folder.images}
    if not classes or not any(path.is_file() for path in labels.values()):
        return None
    images = {path: yolo.read_labels(labels[path], path, image_size(path), classes) for path in folder.images}
    splits = {
        name: Split([image for path, image in images.items() if yolo.is_listed(path, sources)], folder.root)
        for name, sources in written.items()
    }
    if not splits or not all(split.images for split in splits.values()):
        splits = by_folder(folder, images.items())
    return FoundDataset('yolo', classes, splits)


# ---- shared ----


def by_folder(folder: DatasetFolder, images: Iterable[tuple[Path, AnnotatedImage]]) -> dict[str, Split]:
    """Group images by the split that the path of their annotation names."""
    splits: dict[str, Split] = {}
    for path, image in images:
        splits.setdefault(folder.split_of(path), Split([], folder.root)).images.append(image)
    return splits


FORMATS: dict[str, Callable[[DatasetFolder], FoundDataset | None]] = {
    'coco': find_coco,
    'voc': find_voc,
    'yolo': find_yolo,
}
