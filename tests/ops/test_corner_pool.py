import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.ops.corner_pool import DIRECTIONS
from mmdet_kpheads.ops.corner_pool import corner_pool as formula


@pytest.fixture
def corner_pool(backend):
    return lambda x, direction: version_of(formula, x, backend)(x, direction)


MAP = torch.tensor([[2.0, 1.0, 3.0], [5.0, 0.0, 1.0], [4.0, 1.0, 2.0]])
EXPECTED = {
    'top': [[5, 1, 3], [5, 1, 2], [4, 1, 2]],
    'bottom': [[2, 1, 3], [5, 1, 3], [5, 1, 3]],
    'left': [[3, 3, 3], [5, 1, 1], [4, 2, 2]],
    'right': [[2, 2, 3], [5, 5, 5], [4, 4, 4]],
}


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_small_map_by_hand(corner_pool, direction):
    assert corner_pool(MAP[None, None], direction)[0, 0].tolist() == EXPECTED[direction]


@pytest.mark.parametrize('direction', DIRECTIONS)
@pytest.mark.parametrize('shape', [(2, 3, 7, 5), (1, 1, 1, 4), (1, 2, 4, 1), (0, 2, 4, 4)])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_equals_mmcv_in_value_and_gradient(corner_pool, direction, shape, dtype, memory_format):
    from mmcv.ops import CornerPool

    values = torch.randperm(torch.Size(shape).numel()).view(shape).to(dtype)  # no ties
    weights = torch.randint(8, shape).to(dtype)  # integers, so that sums are exact in any order
    ours = values.to(memory_format=memory_format).requires_grad_()
    theirs = values.clone().requires_grad_()
    pooled, expected = corner_pool(ours, direction), CornerPool(direction)(theirs)
    assert torch.equal(pooled, expected)
    assert torch.equal(
        *[torch.autograd.grad(result, x, weights)[0] for result, x in ((pooled, ours), (expected, theirs))]
    )


@pytest.mark.parametrize(
    ('direction', 'gradient'), [('top', [5, 2, 1]), ('bottom', [1, 2, 5]), ('left', [5, 2, 1]), ('right', [1, 2, 5])]
)
def test_ties_send_the_gradient_to_the_nearest_cell(corner_pool, direction, gradient):
    """Cells 1, 1, 1, 0 in scan order with gradients 1, 2, 3, 2: each 1 is its own maximum, the 0 takes the third 1."""
    along_height = direction in ('top', 'bottom')
    from_end = direction in ('top', 'left')
    values, weights = torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([1.0, 2.0, 3.0, 2.0])
    if from_end:
        values, weights = values.flip(0), weights.flip(0)
    shape = (1, 1, 4, 1) if along_height else (1, 1, 1, 4)
    x = values.view(shape).requires_grad_()
    (result,) = torch.autograd.grad(corner_pool(x, direction), x, weights.view(shape))
    assert result.flatten().tolist() == ([0, *gradient] if from_end else [*gradient, 0])


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_gradient_of_ties_equals_mmcv(corner_pool, direction):
    from mmcv.ops import CornerPool

    values, weights = torch.randint(3, (2, 3, 9, 8)).float(), torch.randint(8, (2, 3, 9, 8)).float()
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    (mine,) = torch.autograd.grad(corner_pool(ours, direction), ours, weights)
    (expected,) = torch.autograd.grad(CornerPool(direction)(theirs), theirs, weights)
    assert torch.equal(mine, expected)


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_gradcheck_and_infinite_gradients_give_no_nan(corner_pool, direction):
    x = torch.randperm(24, dtype=torch.float64).view(1, 2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: corner_pool(x, direction), x)
    (gradient,) = torch.autograd.grad(corner_pool(x, direction), x, torch.full_like(x, torch.inf))
    assert not gradient.isnan().any()


def test_input_is_not_modified(corner_pool):
    x = torch.randn(1, 1, 4, 4)
    before = x.clone()
    corner_pool(x, 'top')
    assert torch.equal(x, before)


def test_unknown_direction(corner_pool):
    with pytest.raises(ValueError, match=r"direction must be one of .* but got 'up'"):
        corner_pool(torch.zeros(1, 1, 2, 2), 'up')
