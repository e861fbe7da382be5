"""How heads call their losses, and the trial calls that show at once whether they can.

Shape legend: B images, N boxes, H x W cells.
"""

import torch
from torch import Tensor, nn

from ..functional.peaks import gather_cells
from ..losses.build import require_logits
from ..targets.points import PointTargets


def read_trained(maps: Tensor, cells: Tensor, trained: Tensor, otherwise: Tensor) -> Tensor:
    """Predictions (B, N, 2) of a (B, 2, H, W) map at the cells (B, N) that are trained, in float32.

    The rest is ``otherwise``, by where and not by a product: a prediction that is not trained may be infinite.
    """
    return torch.where(trained[..., None], gather_cells(maps, cells).float(), otherwise)


def averaged(loss: nn.Module, pred: Tensor, target: Tensor, trained: Tensor, divisor: Tensor) -> Tensor:
    """Sum over what is trained, divided; mmdet's losses get no weight, for they would read it from the device."""
    total: Tensor = (loss(pred, target, reduction_override='none') * trained).sum()
    return total / divisor


def heatmap_loss(loss: nn.Module, logits: Tensor, target: PointTargets, divisor: Tensor) -> Tensor:
    """Heat-map loss of a map; a loss that takes Gaussians gets them before they are drawn."""
    heat = target.gaussians if getattr(loss, 'takes_gaussians', False) else target.heatmap
    total: Tensor = loss(logits, heat, target.weight, avg_factor=divisor)
    return total


def try_heatmap_loss(loss: nn.Module) -> None:
    """Call a heat-map loss on one cell."""
    require_logits(loss)
    cell = torch.zeros(1, 1, 1, 1)
    loss(cell, cell + 1, cell + 1, avg_factor=torch.ones(()))


def try_regression_loss(loss: nn.Module) -> None:
    """Call a loss of sizes or offsets on one box."""
    _require_shape(loss(torch.zeros(1, 1, 2), torch.ones(1, 1, 2), reduction_override='none'), (1, 1, 2))


def try_box_loss(loss: nn.Module) -> None:
    """Call an IoU loss on one box."""
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    _require_shape(loss(boxes, boxes + 1, reduction_override='none'), (1,))


def try_grouping_loss(loss: nn.Module) -> None:
    """Call a grouping loss on the tags of two objects."""
    values = loss(torch.zeros(1, 2, 2, 1), torch.ones(1, 2, dtype=torch.bool))
    if not isinstance(values, dict):
        raise TypeError(f'it gives {type(values).__name__}, not a dict of named scalars')


def _require_shape(result: Tensor, shape: tuple[int, ...]) -> None:
    if result.shape != shape:
        raise ValueError(f'it gives shape {tuple(result.shape)}, not {shape}')
