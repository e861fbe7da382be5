"""Building a loss from config, and refusing one that its caller cannot use.

The ways in which losses are called are protocols, so that a loss of your own fits in. Each takes tensors and returns a
tensor or, for grouping, a dict of scalars.
"""

import math
from dataclasses import dataclass
from inspect import signature
from typing import Any

from mmdet.registry import MODELS as MMDET_MODELS
from torch import nn

from ..registry import MODELS, SCOPE


@dataclass(frozen=True)
class LossProtocol:
    """How a loss is called: ``loss(*arguments, **keywords)``."""

    arguments: tuple[str, ...]
    keywords: tuple[str, ...] = ()
    from_logits: bool = False  # whether the loss must be marked with ``from_logits = True``
    per_box: bool | None = None  # whether it returns one value per box, or one per number; None for neither

    def __str__(self) -> str:
        return f'loss({", ".join((*self.arguments, *(f"{name}=..." for name in self.keywords)))})'

    def require(self, loss: nn.Module) -> None:
        """Raise ``TypeError`` unless the loss can be called this way."""
        if self.from_logits and not getattr(loss, 'from_logits', False):
            raise TypeError(
                'it takes probabilities, but the head returns logits: use type="mmdet_kpheads.GaussianFocalLoss", or '
                'set from_logits = True on a loss of your own that takes logits'
            )
        if self.per_box is not None:
            self._require_values(loss)
        try:
            signature(loss.forward).bind(*self.arguments, **dict.fromkeys(self.keywords))
        except TypeError as error:
            raise TypeError(f'{error}; it is called as {self}') from error

    def _require_values(self, loss: nn.Module) -> None:
        """Check what a loss of mmdet returns; its signature does not say it. Others are checked at their first call."""
        modules = {base.__module__ for base in type(loss).__mro__}
        if any(module.startswith(MMDET_LOSSES) for module in modules) and (MMDET_IOU_LOSSES in modules) != self.per_box:
            rule = 'box: use an IoU loss' if self.per_box else 'number: use an L1 loss'
            raise TypeError(f'it must return one value per {rule}')


WEIGHTS = ('loss_weight', 'pull_weight', 'push_weight')
MMDET_LOSSES, MMDET_IOU_LOSSES = 'mmdet.models.losses', 'mmdet.models.losses.iou_loss'
HEATMAP_LOSS = LossProtocol(('pred', 'target', 'weight'), ('avg_factor',), from_logits=True)
ELEMENT_LOSS = LossProtocol(('pred', 'target'), ('reduction_override',), per_box=False)  # of sizes and offsets
BOX_LOSS = LossProtocol(('pred', 'target'), ('reduction_override',), per_box=True)
GROUPING_LOSS = LossProtocol(('tags', 'mask'))
TRIPLET_LOSS = LossProtocol(('embeddings', 'labels', 'valid'))


def require_weight(value: Any, name: str) -> None:
    """Raise ``ValueError`` unless the weight of a loss is a finite number that is not negative."""
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f'{name} must be a finite number, 0 or more, but is {value!r}')


def build_loss(cfg: dict[str, Any], argument: str, protocol: LossProtocol, backend: str = 'auto') -> nn.Module:
    """Build a loss.

    A name without scope means ours where we have one of that name, and mmdet's otherwise, whatever the default scope.
    So does a class of mmdet, which is how a config in Python style names a loss.

    Args:
        cfg: The loss as a config.
        argument: Name of the argument that it is given as, for the error message.
        protocol: How it will be called.
        backend: Given to a loss of ours whose config does not set one.

    Raises:
        TypeError: If the loss cannot be called this way.
        ValueError: If it has no type, or its weight is negative or no number.
    """
    if 'type' not in cfg:
        raise ValueError(f'{argument} has no type: {dict(cfg)}')
    kind = cfg['type']
    name = kind.__name__ if isinstance(kind, type) and kind.__module__.startswith(MMDET_LOSSES) else kind
    if isinstance(name, str) and name in MODELS.module_dict:
        kind = f'{SCOPE}.{name}'
    loss_class: Any = MMDET_MODELS.get(kind) if isinstance(kind, str) else kind
    if loss_class in MODELS.module_dict.values() and 'backend' in signature(loss_class).parameters:
        cfg = {'backend': backend, **cfg}
    loss: nn.Module = MMDET_MODELS.build({**cfg, 'type': loss_class or kind})
    for name in WEIGHTS:
        require_weight(getattr(loss, name, 1.0), f'{argument}.{name}')
    try:
        protocol.require(loss)
    except TypeError as error:
        raise TypeError(f'{argument}: cannot use {type(loss).__name__}: {error}') from error
    return loss
