"""Run a detector that ``mmdet-kpheads export`` wrote. This file needs NumPy, OpenCV and ONNX Runtime alone.

It imports nothing of the package: copy it to where the model runs. ``python runtime.py model.onnx image.jpg`` prints
the detections.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

METADATA_KEY = 'mmdet_kpheads'


class Found(NamedTuple):
    """The objects in one image, best first."""

    boxes: np.ndarray  # (N, 4) float32, xyxy in pixels of the image
    scores: np.ndarray  # (N,) float32
    labels: np.ndarray  # (N,) int64
    names: list[str]  # N class names


class Placement(NamedTuple):
    """How an image lies in the network input."""

    scale: tuple[float, float]  # input pixels per image pixel, x and y
    offset: tuple[int, int]  # left and top, in input pixels
    size: tuple[int, int]  # height and width of the resized image, in input pixels


class OnnxDetector:
    """A detector in an ONNX file.

    Args:
        path: The file.
        providers: ONNX Runtime's execution providers.

    Raises:
        ValueError: If ONNX Runtime cannot run the file, or ``mmdet-kpheads export`` did not write it.

    Example:
        >>> detect = OnnxDetector('model.onnx')  # doctest: +SKIP
        >>> detect('image.jpg').names  # doctest: +SKIP
        ['zero', 'seven']
    """

    def __init__(self, path: str | Path, providers: Sequence[str] = ('CPUExecutionProvider',)) -> None:
        import onnxruntime  # only here: the functions below are also used without it

        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=list(providers))
        except Exception as error:  # ONNX Runtime's classes have no other base
            raise ValueError(f'{path} cannot be run: {str(error).splitlines()[0]}') from error
        metadata = self.session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in metadata:
            raise ValueError(f'{path} has no metadata {METADATA_KEY!r}: write it with mmdet-kpheads export')
        self.metadata: dict[str, Any] = json.loads(metadata[METADATA_KEY])
        self.classes: list[str] = self.metadata['classes']

    def __call__(self, image: str | Path | np.ndarray, score_threshold: float = 0.0) -> Found:
        """Detect objects.

        Args:
            image: A path, or pixels (H, W, 3) in OpenCV's order, blue first.
            score_threshold: Objects need a score above it.

        Raises:
            ValueError: If the image cannot be read or has another shape.
        """
        pixels = read_image(image)
        images, placement = network_input(pixels, self.metadata)
        boxes, scores, labels = (part[0] for part in self.run(images))
        boxes = image_boxes(boxes, placement)
        kept = (scores > score_threshold) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        names = [self.classes[label] for label in labels[kept]]
        return Found(boxes[kept], scores[kept], labels[kept], names)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Boxes (B, K, 4), scores (B, K) and labels (B, K) of network inputs (B, 3, H, W)."""
        outputs: list[np.ndarray] = self.session.run(None, {'images': images})
        return outputs


def read_image(image: str | Path | np.ndarray) -> np.ndarray:
    """Pixels (H, W, 3), blue first, of a path or an array.

    Raises:
        ValueError: If the image cannot be read or has another shape.
    """
    if not isinstance(image, np.ndarray) and not Path(image).is_file():  # OpenCV would also print a warning
        raise ValueError(f'image not found: {image}')
    pixels = image if isinstance(image, np.ndarray) else cv2.imread(str(image))
    if pixels is None:
        raise ValueError(f'{image} is not a readable image')
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f'image must have the shape (H, W, 3), but got {pixels.shape}')
    return pixels


def network_input(pixels: np.ndarray, metadata: Mapping[str, Any]) -> tuple[np.ndarray, Placement]:
    """The input (1, 3, H, W) for pixels (H, W, 3), blue first, and where the image lies in it."""
    if metadata['resize_in_float']:
        pixels = pixels.astype(np.float32)
    height, width = pixels.shape[:2]
    new_height, new_width = resized_size((height, width), metadata)
    resized = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    if metadata['channels'] == 'rgb':
        resized = resized[..., ::-1]
    target_height, target_width = input_size((new_height, new_width), metadata)
    top = left = 0
    if metadata['place'] == 'center':
        top, left = target_height // 2 - new_height // 2, target_width // 2 - new_width // 2
    padded = np.empty((target_height, target_width, 3), np.float32)
    padded[:] = metadata['pad_value']
    padded[top : top + new_height, left : left + new_width] = resized
    images = np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
    return images, Placement((new_width / width, new_height / height), (left, top), (new_height, new_width))


def resized_size(size: tuple[int, int], metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the test pipeline resizes an image to, at most those of the network input."""
    (height, width), (most_height, most_width) = size, metadata['size']
    scale = metadata['scale']
    if scale and not metadata['keep_ratio']:
        return min(scale[1], most_height), min(scale[0], most_width)
    wanted = min(max(scale) / max(size), min(scale) / min(size)) if scale else 1.0
    factor = min(wanted, most_height / height, most_width / width)
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def input_size(size: tuple[int, int], metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the network input around an image of that height and width."""
    most_height, most_width = metadata['size']
    if not metadata['dynamic']:
        return most_height, most_width
    multiple, more = metadata['multiple'], metadata['always_pad']
    height, width = ((side + more + multiple - 1) // multiple * multiple for side in size)
    return min(height, most_height), min(width, most_width)


def image_boxes(boxes: np.ndarray, placement: Placement) -> np.ndarray:
    """Boxes (N, 4) from pixels of the network input to pixels of the image, clipped to it."""
    offset, far_corner, scale = (
        np.array(pair * 2, np.float32) for pair in (placement.offset, placement.size[::-1], placement.scale)
    )
    scaled: np.ndarray = np.clip(boxes - offset, 0, far_corner) / scale
    return scaled


def main(arguments: Sequence[str]) -> None:
    """Print a line per detection: class, score, x1 y1 x2 y2. A mistake ends the process in one line."""
    if len(arguments) != 2:
        sys.exit('usage: python runtime.py MODEL.onnx IMAGE')
    model, image = arguments
    try:
        found = OnnxDetector(model)(image)
    except ValueError as error:
        sys.exit(f'error: {error}')
    for box, score, _, name in zip(*found, strict=True):
        print(f'{name} {score:.3f} {" ".join(f"{side:.1f}" for side in box)}')


if __name__ == '__main__':
    main(sys.argv[1:])
