"""The best cells against a stable sort of all of them."""

import pytest
import torch

from mmdet_kpheads.functional.topk import by_falling_score, top_cells


def sorted_cells(scores, k):
    """Stable: of equal scores the first."""
    flat = scores.flatten(1).float()
    order = flat.sort(dim=1, descending=True, stable=True)
    return order.values[:, :k], order.indices[:, :k]


@pytest.mark.parametrize('k', [1, 5, 12, 40, 1000])
@pytest.mark.parametrize('values', [3, 1000])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_equals_a_stable_sort(k, values, dtype):
    """With three values nearly all cells are equal to others."""
    generator = torch.Generator().manual_seed(k)
    scores = (torch.randint(values, (2, 3, 4, 5), generator=generator) - values / 2).to(dtype)
    scores[0, 0, 0] = -torch.inf
    found, index = top_cells(scores, k)
    expected, order = sorted_cells(scores, k)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(index, order, rtol=0, atol=0)


def test_minus_zero_is_zero():
    scores = torch.tensor([[[0.0, -0.0], [-0.0, 0.0]]])
    _, index = top_cells(scores, 3)
    assert index.tolist() == [[0, 1, 2]]


def test_no_images_and_no_cells():
    assert top_cells(torch.zeros(0, 2, 3), 4)[1].shape == (0, 4)
    assert top_cells(torch.zeros(2, 0, 3), 4)[1].shape == (2, 0)


def test_by_falling_score():
    scores, index = by_falling_score(torch.tensor([[1.0, 3.0, 1.0, 3.0], [0.0, 0.0, 2.0, -1.0]]))
    assert index.tolist() == [[1, 3, 0, 2], [2, 0, 1, 3]]
    assert scores.tolist() == [[3, 3, 1, 1], [2, 0, 0, -1]]


def test_of_many_equal_scores_the_order_is_kept():
    assert by_falling_score(torch.zeros(2, 100))[1].tolist() == [list(range(100))] * 2
