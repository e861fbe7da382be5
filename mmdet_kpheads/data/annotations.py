"""Ground truth as written in COCO and VOC files, before any filter of a dataset class.

Boxes are [x1, y1, x2, y2] in pixels of the image file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

from ..errors import InputError

VOC_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


@dataclass
class AnnotatedImage:
    """One image file with its size (width, height) and its objects."""

    path: Path
    size: tuple[int, int]
    boxes: list[list[float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ignored: list[bool] = field(default_factory=list)  # crowds of COCO, difficult objects of VOC


@dataclass
class AnnotationFile:
    """A COCO file or a VOC image list: the classes it declares (COCO) or uses (VOC), and its images."""

    path: Path
    classes: tuple[str, ...]
    images: list[AnnotatedImage]


def read_coco(path: Path, image_folder: Path) -> AnnotationFile:
    """Read a COCO file.

    Args:
        path: The JSON file.
        image_folder: Folder that ``file_name`` entries are relative to.

    Raises:
        InputError: If the file is missing, broken or not a COCO detection file; the message locates the error.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get('images'), list):
        raise InputError(f"{path} is not a COCO file: it has no list 'images'")
    for key in ('annotations', 'categories'):
        if not isinstance(content.setdefault(key, []), list):
            raise InputError(f'{path} is not a COCO file: {key!r} is not a list')
    try:
        names = {category['id']: category['name'] for category in content['categories']}
        images = {
            image['id']: AnnotatedImage(image_folder / image['file_name'], (image['width'], image['height']))
            for image in content['images']
        }
    except (KeyError, TypeError) as error:
        raise InputError(f'{path}: an image or category lacks {error}') from error
    for annotation in content['annotations']:
        _add_coco_object(annotation, images, names, path)
    return AnnotationFile(path, tuple(names.values()), list(images.values()))


def read_voc(path: Path, image_folder: Path, xml_folder: Path) -> AnnotationFile:
    """Read the VOC annotations of the images in a list.

    Args:
        path: List with one image name per line, such as ``ImageSets/Main/train.txt``.
        image_folder: Folder of the ``.jpg`` files.
        xml_folder: Folder of the ``.xml`` files.

    Raises:
        InputError: If the list or an annotation is missing or broken; the message names the file.
    """
    names = read_text(path, 'image list').split()
    images = [read_xml(xml_folder / f'{name}.xml', image_folder / f'{name}.jpg') for name in names]
    used = dict.fromkeys(name for image in images for name in image.names)
    return AnnotationFile(path, tuple(used), images)


def read_text(path: Path, kind: str) -> str:
    """Read a text file; errors call it ``kind``.

    Raises:
        InputError: If it is missing or not a text file.
    """
    if not path.is_file():
        raise InputError(f'{kind} not found: {path}')
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise InputError(f'{path} is not a text file: {error}') from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it is missing or broken; the message locates the error.
    """
    try:
        return json.loads(read_text(path, 'annotation file'))
    except json.JSONDecodeError as error:
        raise InputError(f'broken JSON in {path}, line {error.lineno}, column {error.colno}: {error.msg}') from error


def _add_coco_object(annotation: Any, images: dict, names: dict, path: Path) -> None:
    try:
        _ = annotation['id'], annotation['area']  # required by CocoDataset
        image, name = images[annotation['image_id']], names[annotation['category_id']]
        x, y, width, height = (float(value) for value in annotation['bbox'])
    except (KeyError, TypeError, ValueError) as error:
        identifier = annotation.get('id', annotation) if isinstance(annotation, dict) else annotation
        raise InputError(
            f'{path}: annotation {identifier} needs an id, an area, the image_id of an image, the category_id of a '
            f'category and a bbox of four numbers; missing or invalid: {error}'
        ) from error
    image.boxes.append([x, y, x + width, y + height])
    image.names.append(name)
    image.ignored.append(bool(annotation.get('iscrowd')))


def read_xml(path: Path, image_path: Path | None = None) -> AnnotatedImage:
    """Read one VOC annotation.

    Args:
        path: The ``.xml`` file.
        image_path: Path of the image; by default the name in ``<filename>``, or else that of the annotation.

    Raises:
        InputError: If the file is missing or broken; the message names it.
    """
    try:
        root = ElementTree.fromstring(read_text(path, 'annotation file'))  # noqa: S314  (mmdet uses the same parser)
    except ElementTree.ParseError as error:
        raise InputError(f'broken XML in {path}: {error}') from error
    try:
        width, height = (int(root.findtext(f'size/{key}', '0')) for key in ('width', 'height'))
        written = PureWindowsPath(root.findtext('filename', '').strip() or path.stem)  # takes both kinds of slashes
        image = AnnotatedImage(image_path or Path(written.name), (width, height))
        for item in root.iter('object'):
            corners = [item.findtext(f'bndbox/{key}', '') for key in VOC_CORNERS]
            image.boxes.append([float(corner) - 1 for corner in corners])
            image.names.append(item.findtext('name', '').strip())
            image.ignored.append(item.findtext('difficult', '0').strip() == '1')
    except ValueError as error:
        raise InputError(f'{path}: size and bndbox must be numbers: {error}') from error
    return image
