"""Finds images, videos and cameras, and reads them frame by frame."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from .annotations import MAX_IMAGE_BYTES, read_bytes
from .image_files import IMAGE_SUFFIXES, decode

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')
OPENCV_SILENT, FFMPEG_QUIET = 0, '-8'  # log levels
NO_FRAME = 'OpenCV finds no frame in it'
NO_CAMERA = 'there is no camera of this number, or another program uses it'
DEFAULT_RATE = 30.0  # frames per second, where a camera does not report its own


@dataclass(frozen=True)
class Source:
    """An image, video or camera: its path or number, and the path of its picture below the output folder."""

    name: str
    target: Path

    @property
    def is_camera(self) -> bool:
        """Whether this is a camera."""
        return is_camera(self.name)

    @property
    def is_stream(self) -> bool:
        """Whether this has many frames."""
        return self.is_camera or is_video(self.name)

    def count_frames(self) -> int | None:
        """Return the number of frames; None if it is not known."""
        if self.is_camera:
            return None
        return max(0, int(open_capture(self).get(cv2.CAP_PROP_FRAME_COUNT))) if self.is_stream else 1


@dataclass(frozen=True)
class Frame:
    """An image, or one of a video; ``pixels`` (H, W, 3) uint8 BGR is None if it cannot be read."""

    source: Source
    pixels: np.ndarray | None
    number: int = 0
    rate: float = DEFAULT_RATE  # frames per second
    problem: str = ''  # why there are no pixels


def is_camera(name: str) -> bool:
    """Whether an input is the number of a camera."""
    return name.isdecimal() and not os.path.exists(name)


def is_video(name: str) -> bool:
    """Whether an input is a video, by its suffix."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def find_sources(inputs: Sequence[str], out: Path) -> list[Source]:
    """Find what the inputs name, each file once.

    Args:
        inputs: Image and video files, folders, globs and numbers of cameras.
        out: The output folder; files below it are not taken from a folder around it.

    Returns:
        The sources in the order of the inputs. Their targets are as the files below their common folder.

    Raises:
        InputError: If an input does not exist, nothing is found, or the output would replace an input.
    """
    cameras = [Source(name, Path(f'camera_{name}.mp4')) for name in dict.fromkeys(inputs) if is_camera(name)]
    files: dict[str, str] = {}
    for name in inputs:
        for file in () if is_camera(name) else files_of(name, out):
            files.setdefault(os.path.abspath(file), file)
    if not files and not cameras:
        raise InputError(
            f'no image or video found in {", ".join(inputs)}; the suffixes are {", ".join(IMAGE_SUFFIXES)}'
        )
    common = os.path.commonpath([os.path.dirname(path) for path in files]) if files else ''
    targets: dict[Path, str] = {}
    for path in files:
        target = Path(os.path.relpath(path, common))
        if is_video(path) and (target := target.with_suffix('.mp4')) in targets:
            target = Path(f'{os.path.relpath(path, common)}.mp4')  # two videos that differ in the suffix alone
        elif not is_video(path) and not cv2.haveImageWriter(path):
            target = Path(f'{target}.png')
        if (out / target).resolve() == Path(path).resolve():
            raise InputError(f'--out {out} would replace the input {files[path]}: take another folder')
        targets[target] = files[path]
    return [*(Source(name, target) for target, name in targets.items()), *cameras]


def files_of(name: str, out: Path) -> Iterator[str]:
    """Yield the files that one input names.

    Raises:
        InputError: If there is none of that name.
    """
    names = [name] if os.path.exists(name) else sorted(glob.glob(os.path.expanduser(name), recursive=True))
    if not names:
        raise InputError(f'input not found: {name} is no file, folder, glob or number of a camera')
    for path in map(Path, names):
        if not path.is_dir():
            yield str(path)
            continue
        inside = out.resolve() if path.resolve() in out.resolve().parents else None
        for file in sorted(path.rglob('*')):
            if file.name.lower().endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES) and inside not in file.resolve().parents:
                yield str(file)


def read_frames(sources: Sequence[Source]) -> Iterator[Frame]:
    """Read all sources one after the other, a frame at a time."""
    for source in sources:
        if source.is_stream:
            yield from read_stream(source)
        else:
            yield read_image(source)


def read_image(source: Source) -> Frame:
    """Read an image."""
    try:
        return Frame(source, decode(read_bytes(Path(source.name), 'image', MAX_IMAGE_BYTES)))
    except InputError as error:
        return Frame(source, None, problem=str(error))


def open_capture(source: Source) -> cv2.VideoCapture:
    """Open a video or camera without the messages of OpenCV and FFmpeg: what cannot be read is reported by us."""
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', FFMPEG_QUIET)  # read when the first video is opened
    level = cv2.setLogLevel(OPENCV_SILENT)
    try:
        return cv2.VideoCapture(int(source.name) if source.is_camera else source.name)
    finally:
        cv2.setLogLevel(level)


def read_stream(source: Source) -> Iterator[Frame]:
    """Read a video or camera; yields one frame without pixels if it cannot be read."""
    capture = open_capture(source)
    try:
        rate, number = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE, 0
        while (read := capture.read())[0]:
            yield Frame(source, read[1], number, rate)
            number += 1
        if number == 0:
            yield Frame(source, None, problem=NO_CAMERA if source.is_camera else NO_FRAME)
    finally:
        capture.release()
