"""The module around the GIoU formula: its defaults, weights and reductions, in numbers worked by hand."""

import pytest
import torch

from mmdet_kpheads.kernels import cpu
from mmdet_kpheads.losses.giou_loss import GIoULoss

# intersection 1, union 7, enclosing box 9: 1 - (1 / 7 - 2 / 9); the second pair is equal
FIRST = 1 - (1 / 7 - 2 / 9)
PREDICTED = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
BOXES = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0]])


@pytest.mark.parametrize(
    ('options', 'arguments', 'expected'),
    [
        ({}, {}, FIRST / 2),
        ({'reduction': 'sum'}, {}, FIRST),
        ({'loss_weight': 3.0}, {}, 3 * FIRST / 2),
        ({}, {'avg_factor': 8.0}, FIRST / 8),
        ({}, {'weight': torch.tensor([0.5, 1.0])}, FIRST / 4),
        ({}, {'weight': torch.tensor([[0.5, 0.5, 1.0, 0.0], [7.0, 7.0, 7.0, 7.0]])}, FIRST / 4),
        ({}, {'reduction_override': 'none'}, (FIRST, 0.0)),
    ],
)
def test_weights_and_reductions(options: dict, arguments: dict, expected: float) -> None:
    torch.testing.assert_close(GIoULoss(**options)(PREDICTED, BOXES, **arguments), torch.tensor(expected))


def test_a_weight_of_four_numbers_per_box_in_maps_of_boxes() -> None:
    """Two rows of one box each: the mean is over the four numbers, whatever comes before."""
    weight = torch.tensor([[[0.5, 0.5, 1.0, 0.0]], [[7.0, 7.0, 7.0, 7.0]]])
    loss = GIoULoss()(PREDICTED[:, None], BOXES[:, None], weight, reduction_override='none')
    torch.testing.assert_close(loss, torch.tensor([[FIRST / 2], [0.0]]))


@pytest.mark.parametrize('backend', ['reference', 'cpu'])
def test_eps_bounds_the_union(backend: str) -> None:
    tiny = torch.tensor([[0.0, 0.0, 0.1, 0.1]])  # 0.01 square pixels
    torch.testing.assert_close(GIoULoss(backend=backend)(tiny, tiny), torch.tensor(0.0))
    torch.testing.assert_close(GIoULoss(eps=0.04, backend=backend)(tiny, tiny), torch.tensor(0.75))


def test_eps_reaches_the_formula_where_the_boxes_have_a_gradient() -> None:
    tiny = torch.tensor([[0.0, 0.0, 0.1, 0.1]])
    with_gradient = cpu.giou_loss(tiny, tiny.clone().requires_grad_(), 0.04)
    torch.testing.assert_close(with_gradient.detach(), cpu.giou_loss(tiny, tiny, 0.04))
    assert cpu.giou_loss(tiny, tiny.clone().requires_grad_()).item() == pytest.approx(0, abs=1e-5)
