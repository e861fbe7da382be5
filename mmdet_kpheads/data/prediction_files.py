"""Writes predictions as CSV and COCO JSON, as pictures and videos, and shows them in a window."""

import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from mmengine.structures import InstanceData

from ..errors import InputError
from .image_sources import Frame, Source

JSON_FILE, CSV_FILE = 'predictions.json', 'predictions.csv'
CSV_COLUMNS = ('file', 'frame', 'class', 'score', 'x1', 'y1', 'x2', 'y2')
SCORE_DIGITS, PX_DIGITS = 4, 2
CODEC = 'mp4v'  # in each build of OpenCV
WINDOW = 'mmdet-kpheads predict'
QUIT_KEYS = (ord('q'), 27)  # 27 is Escape


class PredictionFiles:
    """A context that writes the CSV file row by row, and at its end the JSON file.

    Args:
        folder: Output folder.
        classes: Names.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.json_path, self.classes = folder / JSON_FILE, classes
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.csv_file = open(folder / CSV_FILE, 'w', newline='', encoding='utf-8')  # noqa: SIM115  (closed by exit)
        self.rows = csv.writer(self.csv_file)
        self.rows.writerow(CSV_COLUMNS)

    def __enter__(self) -> 'PredictionFiles':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.csv_file.close()
        categories = [{'id': number, 'name': name} for number, name in enumerate(self.classes, 1)]
        content = {'images': self.images, 'annotations': self.annotations, 'categories': categories}
        self.json_path.write_text(json.dumps(content), encoding='utf-8')

    def add(self, frame: Frame, size: tuple[int, ...], found: InstanceData) -> None:
        """Add the detections of a frame.

        Args:
            frame: Where they were found.
            size: (height, width) in pixels.
            found: ``bboxes``, ``scores`` and ``labels`` as arrays.
        """
        number = {'frame': frame.number} if frame.source.is_stream else {}
        image = {'id': len(self.images) + 1, 'file_name': frame.source.name, 'height': size[0], 'width': size[1]}
        self.images.append(image | number)
        for box, score, label in zip(found.bboxes, found.scores, found.labels, strict=True):
            x1, y1, x2, y2 = (round(value, PX_DIGITS) for value in box.tolist())
            score = round(float(score), SCORE_DIGITS)
            self.rows.writerow([frame.source.name, number.get('frame'), self.classes[label], score, x1, y1, x2, y2])
            width, height = round(x2 - x1, PX_DIGITS), round(y2 - y1, PX_DIGITS)
            self.annotations.append(
                {
                    'id': len(self.annotations) + 1,
                    'image_id': image['id'],
                    'category_id': int(label) + 1,
                    'bbox': [x1, y1, width, height],
                    'area': round(width * height, PX_DIGITS),
                    'iscrowd': 0,
                    'score': score,
                }
            )


class Pictures:
    """A context that writes pictures, and the frames of a stream into one video.

    Args:
        folder: Output folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source: Source | None = None  # of the open video
        self.video: cv2.VideoWriter | None = None

    def __enter__(self) -> 'Pictures':
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Finish the open video."""
        if self.video:
            self.video.release()
        self.source = self.video = None

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        """Write the picture of a frame.

        Raises:
            InputError: If the file cannot be written.
        """
        path = self.folder / frame.source.target
        if frame.source is not self.source:
            self.close()
            path.parent.mkdir(parents=True, exist_ok=True)
        if not frame.source.is_stream:
            written = cv2.imwrite(str(path), picture)
        else:
            self.video = self.video or self.open(path, frame, picture)
            self.source, written = frame.source, self.video.isOpened()
            self.video.write(picture)
        if not written:
            raise InputError(f'{path} cannot be written')

    def open(self, path: Path, frame: Frame, picture: np.ndarray) -> cv2.VideoWriter:
        """Open a video of the rate of a stream and the size of a picture."""
        height, width = picture.shape[:2]
        return cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*CODEC), frame.rate, (width, height))


def require_display() -> None:
    """Raise ``InputError`` if there is no display for a window."""
    if sys.platform.startswith('linux') and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise InputError('--show needs a display, and DISPLAY is not set: leave it out and open the files instead')


def open_window() -> None:
    """Open the window for :func:`show`.

    Raises:
        InputError: If there is no display, or OpenCV was built without windows.
    """
    require_display()
    try:
        cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL)
    except cv2.error:
        raise InputError('--show needs an OpenCV with windows: install opencv-python, not -headless') from None


def show(frame: Frame, picture: np.ndarray) -> bool:
    """Show a picture: an image until a key is pressed, a frame of a stream at once; False to end (q or Escape)."""
    cv2.imshow(WINDOW, picture)
    return cv2.waitKey(1 if frame.source.is_stream else 0) & 0xFF not in QUIT_KEYS
