"""What every decoder returns."""

from typing import NamedTuple

from torch import Tensor


class Detections(NamedTuple):
    """A fixed number of boxes per image, best first; xyxy in pixels of the network input. B images, K boxes."""

    boxes: Tensor  # (B, K, 4)
    scores: Tensor  # (B, K)
    labels: Tensor  # (B, K) int64
    valid: Tensor  # (B, K) bool; the other rows are filler
