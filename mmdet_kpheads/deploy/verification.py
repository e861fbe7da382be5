"""Compare an exported file in ONNX Runtime with the detector in torch, image by image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.structures import InstanceData

from .runtime import OnnxDetector, network_input, read_image

BOX_TOLERANCE_PX = 1e-3
SCORE_TOLERANCE = 1e-5
PAIR_PX = 1.0  # boxes farther apart are two boxes, not one with a difference


class Difference(NamedTuple):
    """How far two sets of detections of an image are apart."""

    expected: int  # boxes in torch
    boxes_px: float  # largest difference of a coordinate between two boxes of a pair
    scores: float  # largest difference of their scores
    unpaired: int  # boxes of either set without a partner within the tolerances

    def __str__(self) -> str:
        return (
            f'{self.expected} boxes, largest differences {self.boxes_px:.1e} px and {self.scores:.1e} in score, '
            f'{self.unpaired} boxes without a partner'
        )


def verify(detector: OnnxDetector, model: Any, images: Sequence[str]) -> list[Difference]:
    """How far the detections of a file and of the detector it was made from are apart, for each image."""
    found = []
    for image in images:
        inputs, _ = network_input(read_image(image), detector.metadata)
        (expected,) = predict(model, inputs, detector.metadata['channels'])
        (boxes,), (scores,), (labels,) = detector.run(inputs)
        found.append(difference(expected, boxes, scores, labels))
    return found


def predict(model: Any, images: np.ndarray, channels: str) -> list[InstanceData]:
    """What a detector of mmdet predicts for network inputs (B, 3, H, W), in pixels of the input."""
    pixels = torch.from_numpy(images)
    if channels == 'rgb':
        pixels = pixels.flip(1)  # the preprocessor takes blue first
    with torch.no_grad():
        inputs = model.data_preprocessor({'inputs': list(pixels), 'data_samples': None})['inputs']
        size = tuple(inputs.shape[2:])
        metas = [{'batch_input_shape': size, 'img_shape': size} for _ in images]
        head = model.bbox_head
        predicted: list[InstanceData] = head.predict_by_feat(*head(model.extract_feat(inputs)), batch_img_metas=metas)
    return predicted


def difference(expected: InstanceData, boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> Difference:
    """Compare detections of torch with rows of a file as sets: rows pair by label and nearness.

    Args:
        expected: ``bboxes``, ``scores`` and ``labels``.
        boxes: (K, 4).
        scores: (K,).
        labels: (K,), -1 in filler rows.
    """
    real = labels >= 0
    wanted = [expected[name].numpy() for name in ('bboxes', 'scores', 'labels')]
    boxes_px = np.abs(wanted[0][:, None] - boxes[real]).max(-1, initial=0.0)  # (N, M)
    apart = np.abs(wanted[1][:, None] - scores[real])
    near = (wanted[2][:, None] == labels[real]) & (boxes_px < PAIR_PX)
    equal = near & (boxes_px <= BOX_TOLERANCE_PX) & (apart <= SCORE_TOLERANCE)
    unpaired = int((~equal.any(1)).sum() + (~equal.any(0)).sum())
    nearest = near & (apart == np.where(near, apart, np.inf).min(1, keepdims=True, initial=np.inf))
    largest_px, largest_score = (float(part[nearest].max(initial=0.0)) for part in (boxes_px, apart))
    return Difference(len(wanted[0]), largest_px, largest_score, unpaired)
