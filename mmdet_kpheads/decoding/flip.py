"""Averaging the maps of an image with those of its mirror image.

Shape legend: B images, C classes, H x W cells.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def average_flipped_heat(logits: Tensor, mirrored: Tensor) -> Tensor:
    """Logits of the mean probability of ``logits`` and the flipped-back ``mirrored``, both (B, C, H, W).

    Computed in log space, so that saturated probabilities stay distinct and nothing is infinite.
    """
    pair = (logits.float(), mirrored.flip(-1).float())
    hit = torch.logaddexp(*(logsigmoid(part) for part in pair))
    miss = torch.logaddexp(*(logsigmoid(-part) for part in pair))
    return hit - miss


def average_flipped_size(sizes: Tensor, mirrored: Tensor) -> Tensor:
    """Mean of sizes and flipped-back mirrored sizes, (B, 2, H, W)."""
    return (sizes + mirrored.flip(-1)) / 2


def average_flipped_offset(offsets: Tensor, mirrored: Tensor) -> Tensor:
    """Mean of offsets and flipped-back mirrored offsets, (B, 2, H, W): x runs the other way inside a cell."""
    back = mirrored.flip(-1)
    back = torch.cat((1 - back[:, :1], back[:, 1:]), 1)
    return (offsets + back) / 2
