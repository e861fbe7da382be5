"""The versions for export equal the formulas, and keep their sizes where a map has fewer cells than asked for."""

import pytest
import torch

from mmdet_kpheads.functional.distances import between
from mmdet_kpheads.functional.peaks import top_peaks
from mmdet_kpheads.functional.topk import by_falling_score, top_cells
from mmdet_kpheads.kernels import exportable
from mmdet_kpheads.ops.corner_pool import DIRECTIONS, corner_pool


@pytest.mark.parametrize('size', [(1, 1), (5, 8), (9, 4)])
@pytest.mark.parametrize('direction', DIRECTIONS)
def test_corner_pooling(direction, size):
    x = torch.randn(2, 3, *size)
    assert torch.equal(exportable.corner_pool(x, direction), corner_pool(x, direction))


def test_the_best_cells():
    scores = torch.randn(2, 3, 6, 7)
    for found, expected in zip(exportable.top_cells(scores, 20), top_cells(scores, 20), strict=True):
        assert torch.equal(found, expected)
    ordered = scores.flatten(1)
    for found, expected in zip(exportable.by_falling_score(ordered), by_falling_score(ordered), strict=True):
        assert torch.equal(found, expected)


def test_filler_where_there_are_fewer_cells():
    best, index = exportable.top_cells(torch.randn(2, 1, 2, 2), 6)
    assert best.shape == (2, 6) and (best[:, 4:] == -torch.inf).all() and (index[:, 4:] == 0).all()
    assert (index[:, :4].sort().values == torch.arange(4)).all()


def test_peaks():
    heat, valid = torch.randn(2, 3, 16, 16), torch.rand(2, 1, 16, 16) > 0.2
    for found, expected in zip(exportable.top_peaks(heat, 10, 3, valid), top_peaks(heat, 10, 3, valid), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize('p', [1.0, 2.0])
def test_distances(p):
    first, second = torch.randn(2, 5, 3), torch.randn(2, 7, 3)
    torch.testing.assert_close(exportable.between(first, second, p), between(first, second, p))
