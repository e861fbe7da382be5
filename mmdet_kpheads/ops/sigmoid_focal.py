"""Sigmoid focal loss as mmcv's CUDA op computes it, and its gradient. N samples, C classes.

Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 5.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import full_precision


def sigmoid_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Give the loss of each class of each sample; differentiable in the logits.

    Args:
        logits: (N, C).
        target: (N,) class numbers; C, or anything else that is no class, for background.
        gamma: Exponent of the factor for easy samples.
        alpha: Factor of the positives; negatives have 1 - alpha.

    Returns:
        (N, C) in full precision.
    """
    logits = full_precision(logits)
    positive = target[:, None] == torch.arange(logits.shape[1], device=logits.device)
    sign = torch.where(positive, 1.0, -1.0)
    log_right, wrong = F.logsigmoid(sign * logits), torch.sigmoid(-sign * logits)
    return torch.where(positive, -alpha, alpha - 1.0) * wrong.pow(gamma) * log_right
