"""Sigmoid focal loss as in mmcv's CUDA op.

Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 5. Shape legend: N samples, C classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .torchvision_kernels import full_precision


def sigmoid_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Compute the loss of each class of each sample; differentiable in the logits.

    Args:
        logits: (N, C).
        target: (N,) class indices; C or any other value outside [0, C) is background.
        gamma: Exponent of the factor that down-weights easy samples.
        alpha: Weight of positives; negatives have 1 - alpha.

    Returns:
        (N, C) in full precision.
    """
    logits = full_precision(logits)
    positive = target[:, None] == torch.arange(logits.shape[1], device=logits.device)
    sign = torch.where(positive, 1.0, -1.0)
    log_p_true, p_false = F.logsigmoid(sign * logits), torch.sigmoid(-sign * logits)
    return torch.where(positive, -alpha, alpha - 1.0) * p_false.pow(gamma) * log_p_true
