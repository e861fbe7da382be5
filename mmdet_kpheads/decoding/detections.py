"""What every decoder returns."""

from typing import NamedTuple

from torch import Tensor


class Detections(NamedTuple):
    """A fixed number of boxes an image, best first; input pixels, xyxy. B images, K boxes."""

    boxes: Tensor  # (B, K, 4)
    scores: Tensor  # (B, K)
    labels: Tensor  # (B, K)
    valid: Tensor  # (B, K) bool
