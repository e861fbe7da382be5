"""A small dataset of real images for demos and tests: handwritten digits on photos.

It uses the 1,797 scanned digits of scikit-learn's ``load_digits`` (UCI, CC BY 4.0) and its two sample photos (CC BY).
Training and validation share neither a digit nor a background pixel.
Boxes are [x1, y1, x2, y2] in pixels, tight around the ink; x2 and y2 are exclusive.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from ..errors import InputError
from .annotations import AnnotatedImage
from .coco_writer import coco_dict

CLASSES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
VOC_FOLDER = 'VOC2007'
IMAGE_FOLDER = f'{VOC_FOLDER}/JPEGImages'
IMAGE_SIZE = 128  # side in pixels, unless another is asked for
TRAIN_FRACTION = 0.75  # of the digits, and of the width of each photo
HEIGHTS_PX = (28, 60)  # of a drawn digit, before it is cropped to its ink
OPACITY = (0.75, 1.0)
MIN_SIZE_PX = HEIGHTS_PX[1] + 4  # the largest digit with a border
MAX_SIZE_PX = 160  # the photos are 640 pixels wide, and a quarter of them is for validation
INK_THRESHOLD = 0.25  # minimum opacity of pixels inside the box
MAX_IOU = 0.1  # between two digits of an image
PLACEMENT_TRIES = 30
JPEG_QUALITY = 95


@dataclass
class SourceImages:
    """Source images of a split: digits (D, 8, 8) in [0, 1], their labels (D,) and crops of photos."""

    digits: np.ndarray
    labels: np.ndarray
    photos: list[np.ndarray]


@dataclass
class DigitImage:
    """One image (H, W, 3) BGR with its boxes (N, 4) and labels (N,)."""

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def require_size(size: int) -> None:
    """Raise ``InputError`` for images that hold no digit, or that a photo does not cover."""
    if not MIN_SIZE_PX <= size <= MAX_SIZE_PX:
        raise InputError(f'--size must be from {MIN_SIZE_PX} to {MAX_SIZE_PX} pixels, but is {size}')


def load_source_images(seed: int) -> tuple[SourceImages, SourceImages]:
    """Split the digits and photos into training and validation."""
    from sklearn.datasets import load_digits, load_sample_images

    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.images))
    cut = int(len(order) * TRAIN_FRACTION)
    photos = [np.ascontiguousarray(image[..., ::-1]) for image in load_sample_images().images]
    columns = [int(image.shape[1] * TRAIN_FRACTION) for image in photos]
    train = [image[:, :column] for image, column in zip(photos, columns, strict=True)]
    val = [image[:, column:] for image, column in zip(photos, columns, strict=True)]
    digits = data.images.astype(np.float32) / data.images.max()
    return (
        SourceImages(digits[order[:cut]], data.target[order[:cut]], train),
        SourceImages(digits[order[cut:]], data.target[order[cut:]], val),
    )


def draw_digit(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarge an 8 x 8 scan to a smooth opacity mask (h, w) in [0, 1], cropped to its ink."""
    height = int(rng.integers(*HEIGHTS_PX, endpoint=True))
    width = max(8, int(height * rng.uniform(0.7, 1.0)))
    opacity = cv2.resize(digit, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    rows, columns = (np.flatnonzero((opacity > INK_THRESHOLD).any(axis)) for axis in (1, 0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def overlaps(box: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    """Return whether the IoU of a box with any other box exceeds ``MAX_IOU``."""
    for other in others:
        sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        inter = sides.clip(0).prod()
        union = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - inter
        if inter > MAX_IOU * union:
            return True
    return False


def place(mask: np.ndarray, size: int, others: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray | None:
    """Find a free box for a mask, at least one pixel from the border; None after ``PLACEMENT_TRIES`` tries."""
    height, width = mask.shape
    for _ in range(PLACEMENT_TRIES):
        x, y = rng.integers(1, size - width), rng.integers(1, size - height)
        box = np.array([x, y, x + width, y + height])
        if not overlaps(box, others):
            return box
    return None


def draw_image(source: SourceImages, size: int, objects: int, rng: np.random.Generator) -> DigitImage:
    """Draw up to ``objects`` digits, as many as fit, onto a crop of a photo."""
    photo = source.photos[rng.integers(len(source.photos))]
    top, left = (int(rng.integers(side - size + 1)) for side in photo.shape[:2])
    canvas = photo[top : top + size, left : left + size].astype(np.float32)
    boxes: list[np.ndarray] = []
    labels: list[int] = []
    for index in rng.integers(len(source.digits), size=objects):
        mask = draw_digit(source.digits[index], rng)
        box = place(mask, size, boxes, rng)
        if box is None:
            continue
        paint(canvas[box[1] : box[3], box[0] : box[2]], mask, rng)
        boxes.append(box)
        labels.append(int(source.labels[index]))
    return DigitImage(canvas.round().astype(np.uint8), np.stack(boxes), np.array(labels))


def paint(patch: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> None:
    """Blend ink into a patch (h, w, 3) in place: light ink on a dark background or vice versa, at random contrast."""
    light = patch.mean() < 128
    ink = 255 * rng.uniform(0.85, 1.0, 3) if light else 255 * rng.uniform(0.0, 0.15, 3)
    patch += (ink - patch) * (mask * rng.uniform(*OPACITY))[..., None]


def voc_tree(name: str, image: DigitImage) -> ElementTree.ElementTree:
    """Build the VOC annotation of an image; its corners are 1-based, the COCO corners plus one."""
    root = ElementTree.Element('annotation')
    ElementTree.SubElement(root, 'filename').text = f'{name}.jpg'
    size = ElementTree.SubElement(root, 'size')
    for key, value in zip(('height', 'width', 'depth'), image.pixels.shape, strict=True):
        ElementTree.SubElement(size, key).text = str(value)
    for box, label in zip(image.boxes, image.labels, strict=True):
        item = ElementTree.SubElement(root, 'object')
        ElementTree.SubElement(item, 'name').text = CLASSES[label]
        ElementTree.SubElement(item, 'difficult').text = '0'
        corners = ElementTree.SubElement(item, 'bndbox')
        for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True):
            ElementTree.SubElement(corners, key).text = str(value + 1)
    return ElementTree.ElementTree(root)


def annotated(name: str, image: DigitImage) -> AnnotatedImage:
    """The boxes and class names of an image, as they are read from its file."""
    height, width = image.pixels.shape[:2]
    names = [CLASSES[label] for label in image.labels]
    return AnnotatedImage(Path(f'{name}.jpg'), (width, height), image.boxes.tolist(), names)


def write_split(root: Path, split: str, images: Sequence[DigitImage]) -> None:
    """Write the images, VOC annotations and COCO file of a split."""
    names = [f'{split}_{index:05d}' for index in range(len(images))]
    folders = {key: root / VOC_FOLDER / key for key in ('JPEGImages', 'Annotations', 'ImageSets/Main')}
    for folder in (*folders.values(), root / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, images, strict=True):
        path = folders['JPEGImages'] / f'{name}.jpg'
        cv2.imwrite(str(path), image.pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        voc_tree(name, image).write(folders['Annotations'] / f'{name}.xml')
    (folders['ImageSets/Main'] / f'{split}.txt').write_text('\n'.join(names) + '\n')
    found = [annotated(name, image) for name, image in zip(names, images, strict=True)]
    (root / 'annotations' / f'{split}.json').write_text(json.dumps(coco_dict(found, CLASSES)))


def write_digits(
    root: Path | str,
    num_train: int,
    num_val: int,
    objects: int | None = None,
    size: int = IMAGE_SIZE,
    seed: int = 0,
) -> None:
    """Write the dataset in COCO format (``annotations/*.json``) and in VOC2007 layout, with shared images.

    Args:
        root: Output folder.
        num_train: Number of training images.
        num_val: Number of validation images.
        objects: Digits per image; None for 1 to 5.
        size: Side of the square images in pixels.
        seed: Random seed; equal seeds write equal files.

    Raises:
        InputError: If the size is too small for a digit, or larger than the background photos of a split.
    """
    require_size(size)
    splits = zip(('train', 'val'), (num_train, num_val), load_source_images(seed), strict=True)
    for index, (split, count, source) in enumerate(splits):
        rng = np.random.default_rng((seed, index))
        numbers = [objects or int(rng.integers(1, 6)) for _ in range(count)]
        write_split(Path(root), split, [draw_image(source, size, number, rng) for number in numbers])
