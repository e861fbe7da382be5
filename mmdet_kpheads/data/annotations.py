"""Ground truth as written in COCO and VOC files, before any filter of a dataset class.

A reader goes on after an error, so that one run names every error. An error is fatal if the dataset class of mmdet
stops at it, or trains on something else than the file says.
Boxes are [x1, y1, x2, y2] in pixels of the image file.
"""

import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

from tqdm import tqdm

from ..compat import shared_annotations
from ..errors import InputError, shown

VOC_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
MAX_SIDE_PX = 2**20  # OpenCV decodes no longer side
MAX_IMAGE_BYTES = 2**31 - 1  # OpenCV decodes no longer buffer
PROGRESS_DELAY_S = 1

Rules = dict[str, tuple[Callable[[Any], bool], str]]  # by key: a test of the value, and what passes it


@dataclass(frozen=True)
class Problem:
    """What is wrong, where (a file, with a line or an id), and the value found there."""

    kind: str
    where: str
    value: str = ''
    fatal: bool = True

    @property
    def location(self) -> str:
        """Where, with the value."""
        return f'{self.where}: {self.value}' if self.value else self.where

    def __str__(self) -> str:
        """One line."""
        return f'{self.kind}: {self.location}'


@dataclass
class AnnotatedImage:
    """One image file with its size (width, height), (0, 0) if none is given, and its objects."""

    path: Path
    size: tuple[int, int]
    boxes: list[list[float]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ignored: list[bool] = field(default_factory=list)  # COCO's crowds and VOC's difficult objects
    ids: list[Any] = field(default_factory=list)  # of COCO annotations
    entry: str = ''  # the place in the annotations

    def object_name(self, index: int) -> str:
        """Where an object is annotated."""
        return f'{self.entry}, ' + (f'annotation {shown(self.ids[index])}' if self.ids else f'object {index + 1}')


@dataclass
class AnnotationFile:
    """A COCO file or a VOC image list: the classes it declares (COCO) or uses (VOC), its images and its errors."""

    path: Path
    classes: tuple[str, ...]
    images: list[AnnotatedImage]
    problems: list[Problem] = field(default_factory=list)


def progress(items: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
    """Iterate with a progress bar that shows the time left, unless it takes only a moment."""
    yield from tqdm(items, what, total, unit=' images', delay=PROGRESS_DELAY_S, mininterval=0.5)


def read_bytes(path: Path, kind: str, max_bytes: int | None = None) -> bytes:
    """Read a regular file; a pipe, a folder or a device is refused before it is opened.

    Args:
        path: The file.
        kind: What it is, for messages.
        max_bytes: Limit of its size; by default the memory of the machine.

    Raises:
        InputError: If it cannot be read.
    """
    max_bytes = max_bytes or os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            raise InputError(f'{kind} is not a regular file: {shown(path)}')
        if status.st_size > max_bytes:
            raise InputError(f'{kind} has {status.st_size} bytes, more than {max_bytes}: {shown(path)}')
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f'{kind} not found: {shown(path)}') from None
    except (OSError, ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, 'strerror', None) or error or type(error).__name__
        raise InputError(f'{kind} cannot be read: {shown(path)}: {reason}') from error


def read_text(path: Path, kind: str) -> str:
    """Read a UTF-8 file; line ends become line feeds.

    Raises:
        InputError: If it cannot be read, or is not UTF-8; the message has the line.
    """
    content = read_bytes(path, kind)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise InputError(f'{kind} is not UTF-8 text: {shown(path)}, line {line}: {error}') from error
    return text.replace('\r\n', '\n').replace('\r', '\n')


def leaves_folder(name: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    return Path(name).is_absolute() or '..' in Path(name).parts


def is_number(value: Any, limit: float = float('inf')) -> bool:
    """Whether a JSON value is a finite number, at most ``limit`` in magnitude."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= limit and abs(value) < float('inf')


def is_id(value: Any) -> bool:
    """Whether a JSON value can be an id."""
    return isinstance(value, str) or is_number(value)


def is_name(value: Any) -> bool:
    """Whether a JSON value is a text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_side(value: Any) -> bool:
    """Whether a JSON value can be the width or height of an image."""
    return is_number(value, MAX_SIDE_PX)


def is_box(value: Any) -> bool:
    """Whether a JSON value is a list of four coordinates."""
    return isinstance(value, list) and len(value) == 4 and all(is_side(number) for number in value)


SIDE = f'a finite number up to {MAX_SIDE_PX}'
IMAGE_RULES: Rules = {'file_name': (is_name, 'a text'), 'width': (is_side, SIDE), 'height': (is_side, SIDE)}
CATEGORY_RULES: Rules = {'name': (is_name, 'a text')}
ANNOTATION_RULES: Rules = {
    'bbox': (is_box, f'four numbers, each {SIDE}'),
    'area': (is_number, 'a finite number'),
    'iscrowd': (lambda value: is_number(value) and value in (0, 1), '0 or 1'),
}
OPTIONAL = {'iscrowd': 0}


def read_coco(path: Path, image_folder: Path) -> AnnotationFile:
    """Read a COCO file.

    Args:
        path: The JSON file.
        image_folder: Folder that ``file_name`` entries are relative to.

    Raises:
        InputError: If the file is missing, broken or not a COCO detection file; the message locates the error.
    """
    content = read_json(path)
    shared_annotations.keep(path, content)
    if not isinstance(content, dict) or not isinstance(content.get('images'), list):
        raise InputError(f"{shown(path)} is not a COCO file: it has no list 'images'")
    for key in ('annotations', 'categories'):
        if not isinstance(content.setdefault(key, []), list):
            raise InputError(f'{shown(path)} is not a COCO file: {key!r} is not a list')
    found = AnnotationFile(path, (), [])
    names = {key: entry and entry['name'] for key, entry in _entries(content, 'categories', CATEGORY_RULES, found)}
    entries = _entries(content, 'images', IMAGE_RULES, found)
    images = {key: entry and _coco_image(key, entry, image_folder, found) for key, entry in entries}
    rules = ANNOTATION_RULES | {
        'image_id': (lambda value: is_id(value) and value in images, 'the id of an image'),
        'category_id': (lambda value: is_id(value) and value in names, 'the id of a category'),
    }
    for key, entry in _entries(content, 'annotations', rules, found):
        image, name = (images[entry['image_id']], names[entry['category_id']]) if entry else (None, None)
        if entry and image and name:
            _add_coco_object(image, key, entry, name, found)
    found.classes = tuple(name for name in names.values() if name)
    found.images = [image for image in images.values() if image]
    return found


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it cannot be read or parsed; the message locates the error.
    """
    text = read_text(path, 'annotation file')
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f'{shown(path)}, line {error.lineno}, column {error.colno}'
        raise InputError(f'broken JSON in {where}: {error.msg}') from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = 'it is nested too deeply' if isinstance(error, RecursionError) else error or 'not enough memory'
        raise InputError(f'broken JSON in {shown(path)}: {reason}') from error


def _entries(content: Any, key: str, rules: Rules, found: AnnotationFile) -> Iterator[tuple[Any, dict | None]]:
    """Each id of a list of the file with its entry, None for an invalid one: its id is known all the same."""
    kind = {'categories': 'category'}.get(key, key[:-1])
    seen: set[Any] = set()
    for index, entry in enumerate(content[key]):
        identifier = entry.get('id') if isinstance(entry, dict) else None
        if not is_id(identifier):
            where = f'{shown(found.path)}, {key}[{index}]'
            found.problems.append(Problem(f'{kind} needs an id, a number or a text', where, shown(entry)))
            continue
        where = f'{shown(found.path)}, {kind} {shown(identifier)}'
        if identifier in seen:
            found.problems.append(Problem(f'id of {kind} is used twice', where))
            continue
        seen.add(identifier)
        errors = _rule_problems(entry, rules, kind, where)
        found.problems += errors
        yield identifier, None if errors else entry


def _rule_problems(entry: dict[str, Any], rules: Rules, kind: str, where: str) -> list[Problem]:
    return [
        Problem(f'{kind} needs {key}, {rule}', where, shown(entry[key]) if key in entry else 'it has none')
        for key, (test, rule) in rules.items()
        if not test(entry.get(key, OPTIONAL.get(key)))
    ]


def _coco_image(key: Any, entry: dict[str, Any], folder: Path, found: AnnotationFile) -> AnnotatedImage:
    where, name = f'{shown(found.path)}, image {shown(key)}', entry['file_name']
    if leaves_folder(name):
        found.problems.append(Problem('path leaves the image folder', where, shown(name), fatal=False))
    return AnnotatedImage(folder / name, (entry['width'], entry['height']), entry=where)


def _add_coco_object(image: AnnotatedImage, key: Any, entry: dict[str, Any], name: str, found: AnnotationFile) -> None:
    x, y, width, height = (float(value) for value in entry['bbox'])
    image.boxes.append([x, y, x + width, y + height])
    image.names.append(name)
    image.ignored.append(bool(entry.get('iscrowd')))
    image.ids.append(key)
    if entry['area'] <= 0 < min(width, height):
        where = image.object_name(len(image.ids) - 1)
        found.problems.append(Problem('area is not positive, so mmdet drops the object', where, fatal=False))


class _TreeBuilder(ElementTree.TreeBuilder):
    """Refuses a DOCTYPE, and with it all entities: they can make a small file huge, or name other files."""

    def doctype(self, name: str, public_id: str, system_id: str) -> None:
        raise ValueError('it declares a DOCTYPE, which annotations do not need')


def read_voc(path: Path, image_folder: Path, xml_folder: Path) -> AnnotationFile:
    """Read the VOC annotations of the images in a list.

    Args:
        path: List with one image name per line, such as ``ImageSets/Main/train.txt``.
        image_folder: Folder of the ``.jpg`` files.
        xml_folder: Folder of the ``.xml`` files.

    Raises:
        InputError: If the list is missing or not a text.
    """
    found = AnnotationFile(path, (), [])
    for where, name in progress(_listed_names(path, found), 'annotations'):
        xml_path = xml_folder / f'{name}.xml'
        try:
            root = _read_xml(xml_path)
        except InputError as error:
            found.problems.append(Problem('annotation cannot be used', where, str(error)))
            continue
        found.images.append(_voc_image(root, image_folder / f'{name}.jpg', shown(xml_path), found.problems))
    found.classes = tuple(dict.fromkeys(name for image in found.images for name in image.names))
    return found


def read_voc_image(path: Path) -> AnnotatedImage:
    """Read one VOC annotation; the image has the name in ``<filename>``, or else that of the annotation.

    Raises:
        InputError: If the file or an object in it cannot be used; the message names it.
    """
    root, found = _read_xml(path), list[Problem]()
    written = PureWindowsPath((root.findtext('filename') or '').strip() or path.stem)  # takes both kinds of slashes
    image = _voc_image(root, Path(written.name), shown(path), found)
    if found:
        raise InputError(str(found[0]))
    return image


def _listed_names(path: Path, found: AnnotationFile) -> list[tuple[str, str]]:
    """Place and name of each image in a list, read as mmengine does: a name is a whole line, spaces included."""
    lines = read_text(path, 'image list').removesuffix('\n').split('\n')
    seen: dict[str, int] = {}
    names = []
    for number, name in enumerate(lines if lines != [''] else [], 1):
        where = f'{shown(path)}, line {number}'
        if problem := _name_problem(name):
            found.problems.append(Problem(problem, where, shown(name)))
            continue
        if name in seen:
            value = f'{shown(name)}, first in line {seen[name]}'
            found.problems.append(Problem('image is listed twice', where, value, fatal=False))
        if leaves_folder(name):
            found.problems.append(Problem('path leaves the image folder', where, shown(name), fatal=False))
        seen.setdefault(name, number)
        names.append((where, name))
    return names


def _name_problem(name: str) -> str | None:
    if name.startswith('\ufeff'):
        return 'image list begins with a byte order mark, which becomes part of the name'
    if not name.strip():
        return 'image list has a blank line'
    if name != name.strip():
        return 'image list has white space around a name, which becomes part of the name'
    return None


def _read_xml(path: Path) -> ElementTree.Element:
    """Parse an annotation in the encoding that it declares.

    Raises:
        InputError: If it cannot be read or parsed.
    """
    content = read_bytes(path, 'annotation file')
    try:
        # the parser of mmdet, with entities refused
        return ElementTree.fromstring(content, ElementTree.XMLParser(target=_TreeBuilder()))  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f'broken XML in {shown(path)}: {error}') from error


def _voc_image(root: ElementTree.Element, path: Path, entry: str, problems: list[Problem]) -> AnnotatedImage:
    """The image of an annotation with its valid objects; the errors are added to ``problems``."""
    image = AnnotatedImage(path, (0, 0), entry=entry)
    size = root.find('size')
    try:
        image.size = image.size if size is None else (_whole(size, 'width', int), _whole(size, 'height', int))
    except ValueError as error:
        problems.append(Problem('size must be whole numbers width and height', entry, str(error)))
    for index, item in enumerate(root.findall('object'), 1):
        try:
            box, name, ignored = _voc_object(item)
        except ValueError as error:
            problems.append(Problem('object cannot be used', f'{entry}, object {index}', str(error)))
            continue
        image.boxes.append(box)
        image.names.append(name)
        image.ignored.append(ignored)
    return image


def _voc_object(item: ElementTree.Element) -> tuple[list[float], str, bool]:
    """Box, name and whether it is difficult.

    Raises:
        ValueError: If one is missing or invalid.
    """
    name, bndbox = item.findtext('name'), item.find('bndbox')
    if not name:
        raise ValueError('it has no <name>')
    if bndbox is None:
        raise ValueError('it has no <bndbox>')
    difficult = item.find('difficult') is not None and _whole(item, 'difficult', int) != 0
    return [_whole(bndbox, corner, float) - 1 for corner in VOC_CORNERS], name, difficult


def _whole(parent: ElementTree.Element, key: str, parse: Callable[[str], float]) -> int:
    """The whole number in a child, parsed and truncated as mmdet does.

    Raises:
        ValueError: If there is none, or one beyond any image.
    """
    text = parent.findtext(key)
    try:
        value = parse(text or '')
    except ValueError:
        value = math.nan
    if not is_side(value):
        rule = f'a whole number up to {MAX_SIDE_PX}' if parse is int else SIDE
        raise ValueError(f'<{key}> must be {rule}, but ' + ('is missing' if text is None else f'is {shown(text)}'))
    return int(value)
