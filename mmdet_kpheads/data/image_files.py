"""Opens image files as the trainer does, in processes of their own, and reports those that it could not use."""

import io
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import mmcv
import numpy as np
from PIL import ExifTags, Image

from ..errors import InputError, shown
from .annotations import MAX_IMAGE_BYTES, AnnotatedImage, Problem, progress, read_bytes

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')
BATCH_PER_PROCESS = 64
CHUNK = 8
EXIF_MARKS = (b'Exif\0\0', b'eXIf', b'EXIF')  # JPEG, PNG, WebP
UPRIGHT = 1  # EXIF orientation
SWAPS_SIDES = range(5, 9)  # EXIF orientations by which width and height change places


class Decoding(NamedTuple):
    """Arguments of ``mmcv.imfrombytes``."""

    flag: str = 'color'
    backend: str = 'cv2'


DEFAULT_DECODING = Decoding()


def image_file_problems(images: Sequence[AnnotatedImage], decoding: Decoding = DEFAULT_DECODING) -> Iterator[Problem]:
    """Open every image in parallel and report those that are broken, turned, or of another size than annotated.

    A decoder that crashes ends its process only: the images of its batch are then opened one process each.

    Args:
        images: The images.
        decoding: How the pipeline decodes.
    """
    processes = min(_cores(), max(1, len(images)))
    check = partial(file_problem, decoding=decoding)
    size = BATCH_PER_PROCESS * processes
    pool = _new_pool(processes)
    try:
        left = progress(images, 'images')
        while batch := list(islice(left, size)):
            try:
                found = list(pool.map(check, batch, chunksize=CHUNK))
            except BrokenProcessPool:
                pool = _new_pool(processes)
                found = [check_alone(image, decoding) for image in batch]
            yield from (problem for problem in found if problem)
    finally:
        pool.shutdown()


def check_alone(image: AnnotatedImage, decoding: Decoding) -> Problem | None:
    """:func:`file_problem` in a process of its own, whose crash is a problem too."""
    with _new_pool(1) as pool:
        try:
            return pool.submit(file_problem, image, decoding).result()
        except BrokenProcessPool:
            return Problem('image crashes the decoder', image.entry, shown(image.path))


def file_problem(image: AnnotatedImage, decoding: Decoding) -> Problem | None:
    """Open an image and compare its size with the annotated one."""
    path = shown(image.path)
    try:
        content = read_bytes(image.path, 'image', MAX_IMAGE_BYTES)
        pixels = decode(content, decoding)
    except InputError as error:
        return Problem('image cannot be used', image.entry, f'{path}: {error}')
    size, expected = (pixels.shape[1], pixels.shape[0]), tuple(image.size)
    turn = orientation(content) if decoding.flag == 'color' else UPRIGHT
    if min(expected) > 0 and size != expected:
        turned = f' after its EXIF orientation {turn}' if turn != UPRIGHT else ''
        value = f'{path} is {size[0]} x {size[1]}{turned}, but annotated as {expected[0]} x {expected[1]}'
        return Problem('image has another size than annotated', image.entry, value)
    if turn != UPRIGHT and (turn not in SWAPS_SIDES or size[0] == size[1]):
        value = f'{path} has EXIF orientation {turn}'
        return Problem('image is turned on loading; draw its boxes with --show-dir', image.entry, value, fatal=False)
    return None


def decode(content: bytes, decoding: Decoding = DEFAULT_DECODING) -> np.ndarray:
    """Decode an image as ``LoadImageFromFile`` does.

    Raises:
        InputError: If it is empty, truncated, too large or no image.
    """
    if not content:
        raise InputError('the file is empty')
    try:
        pixels: np.ndarray | None = mmcv.imfrombytes(content, decoding.flag, backend=decoding.backend)
    except Exception as error:
        reason = ' '.join(str(error).split())
        raise InputError(f'{decoding.backend} cannot decode it: {reason or type(error).__name__}') from error
    if pixels is None:
        raise InputError(f'{decoding.backend} cannot decode it: it is truncated, or no image')
    return pixels


def orientation(content: bytes) -> int:
    """EXIF orientation, 1 if the image has none; a decoder of colors turns the image by it."""
    if not any(mark in content for mark in EXIF_MARKS):
        return UPRIGHT
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _orientation(image)
    except Exception:  # what Pillow cannot read, the decoder reports
        return UPRIGHT


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as a decoder of colors returns it, turned by its EXIF orientation.

    Raises:
        InputError: If the file is not an image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = _orientation(image) in SWAPS_SIDES
    except Exception as error:  # Pillow's plugins raise every kind
        raise InputError(f'{path} cannot be read as an image: {error}') from error
    return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    return value if value in range(1, 9) else UPRIGHT


def _cores() -> int:
    """The cores that this process may use; where the system does not say which, all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _new_pool(processes: int) -> ProcessPoolExecutor:
    """Processes that start at once, as those of a data loader, with one OpenCV thread each."""
    fork = multiprocessing.get_context('fork')
    return ProcessPoolExecutor(processes, fork, initializer=cv2.setNumThreads, initargs=(0,))
