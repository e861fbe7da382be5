"""Building a head's losses from config, with the names resolved as a user means them."""

from collections.abc import Callable
from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from ..registry import MODELS, SCOPE


def build_loss(cfg: dict[str, Any], argument: str, try_call: Callable[[nn.Module], Any]) -> nn.Module:
    """Build a loss and call it once on tiny input.

    A name without scope means ours where we have one of that name (mmdet's want probabilities or match lists), and
    mmdet's otherwise, whatever the default scope.

    Args:
        cfg: The loss as a config.
        argument: Name of the head's argument, for the error message.
        try_call: Calls the loss as the head will.

    Raises:
        TypeError: If the head cannot call this loss.
    """
    kind = cfg['type']
    if isinstance(kind, str) and kind in MODELS.module_dict:
        cfg = {**cfg, 'type': f'{SCOPE}.{kind}'}
    loss: nn.Module = MMDET_MODELS.build(cfg)
    try:
        try_call(loss)
    except Exception as error:
        raise TypeError(f'{argument}: this head cannot call {type(loss).__name__} ({error})') from error
    return loss


def require_logits(loss: nn.Module) -> None:
    """Raise ``TypeError`` for a heat-map loss that wants probabilities."""
    if not getattr(loss, 'from_logits', False):
        raise TypeError(
            'it takes probabilities, this head gives logits: use type="mmdet_kpheads.GaussianFocalLoss", or set '
            'from_logits = True on a loss of your own that takes logits'
        )
