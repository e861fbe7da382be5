"""Pixels and cells, images inside the input, and the grid of a pyramid."""

import warnings

import pytest
import torch

from mmdet_kpheads.structures import GridPyramid, MapGeometry
from mmdet_kpheads.structures.geometry import image_extents, scale_factors

FULL = torch.tensor([[0.0, 0.0, 64.0, 64.0]])


def geometry_of(extent, map_size=(16, 16), input_size=(64, 64)):
    return MapGeometry(map_size, input_size, torch.tensor([extent], dtype=torch.float32))


def test_to_cells_and_back_along_both_axes():
    """Input 60 x 90 px (height, width) under a map of 20 x 45 cells: 2 px wide and 3 px high cells."""
    geometry = MapGeometry((20, 45), (60, 90), torch.zeros(1, 4))
    cells = geometry.to_cells(torch.tensor([[10.0, 9.0, 90.0, 60.0]]))
    assert cells.tolist() == [[5.0, 3.0, 45.0, 20.0]]
    assert geometry.to_px(cells).tolist() == [[10.0, 9.0, 90.0, 60.0]]
    assert geometry.to_px(torch.ones(2)).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(('side', 'cells'), [(64, 16), (63, 16), (61, 16), (60, 15), (59, 15), (4, 1), (1, 1)])
def test_valid_cells_begin_inside_the_image_and_the_last_is_the_last(side, cells):
    geometry = geometry_of((0, 0, side, 64))
    valid = geometry.valid_cells()
    assert valid.shape == (1, 1, 16, 16)
    assert valid[0, 0, 0].tolist() == [True] * cells + [False] * (16 - cells)
    assert geometry.last_cell().tolist() == [[cells - 1, 15]]


@pytest.mark.parametrize('side', range(1, 200))
def test_the_last_cell_is_valid_at_any_scale(side):
    geometry = geometry_of((0, 0, side, side), (57, 57), (199, 199))
    column, row = geometry.last_cell()[0].tolist()
    assert geometry.valid_cells()[0, 0].nonzero()[-1].tolist() == [row, column]


def test_touched_cells():
    boxes = torch.tensor([[[4.0, 0.0, 8.0, 4.0], [9.0, 9.0, 9.5, 9.5], [0.0, 0.0, 16.0, 16.0]]])
    valid = torch.tensor([[True, True, False]])
    geometry = MapGeometry((4, 4), (16, 16), torch.zeros(1, 4))
    assert geometry.touched_cells(boxes, valid)[0, 0].nonzero().tolist() == [[0, 1], [2, 2]]
    assert not geometry.touched_cells(boxes[:, :0], valid[:, :0]).any()


def test_a_batch_that_fills_the_input_needs_no_mask():
    meta = dict(batch_input_shape=(64, 64), img_shape=(64, 64))
    heatmap = torch.zeros(1, 3, 16, 16)
    assert MapGeometry.from_metas([meta], heatmap).valid_cells() is None
    padded = MapGeometry.from_metas([dict(meta, img_shape=(40, 64))], heatmap)
    assert padded.valid_cells().sum() == 10 * 16
    assert padded.extent_px.tolist() == [[0.0, 0.0, 64.0, 40.0]]


@pytest.mark.parametrize(
    ('border', 'extent'),
    [
        ([8, 56, 4, 60], [4, 8, 60, 56]),
        ((0, 0, 0, 0), [0, 0, 64, 48]),
        ([1, 1, 1, 1], [1, 1, 64, 48]),
        ([8, 8, 4, 4], [4, 8, 64, 48]),
    ],
)
def test_a_border_without_area_gives_its_margins_alone(border, extent):
    """(top, bottom, left, right); mmdet's head reads top and left, and its tests pass [1, 1, 1, 1]."""
    meta = dict(batch_input_shape=(64, 64), img_shape=(48, 64), border=border)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('default')
        for _ in range(2):
            assert image_extents([meta, meta], torch.device('cpu')).tolist() == [[float(side) for side in extent]] * 2
    texts = [str(warning.message) for warning in seen]
    assert len(texts) == (extent[2:] == [64, 48])
    assert all('border must be (top, bottom, left, right)' in text for text in texts)


def test_the_mirror_image_of_a_padded_input_has_its_padding_on_the_left():
    """50 x 64 pixels of an image in 64 x 64: 14 pixels of padding, of which three whole cells and a half."""
    meta = dict(batch_input_shape=(64, 64), img_shape=(40, 50))
    plain = MapGeometry.from_metas([meta], torch.zeros(1, 3, 16, 16))
    mirrored = plain.mirror()
    assert mirrored.extent_px.tolist() == [[14.0, 0.0, 64.0, 40.0]]
    cells = mirrored.valid_cells()
    assert cells is not None and cells[0, 0].nonzero().tolist() == [[y, x] for y in range(10) for x in range(3, 16)]
    assert torch.equal(mirrored.mirror().extent_px, plain.extent_px)
    assert torch.equal(cells.flip(-1), plain.valid_cells())


def test_scale_factors_default_to_one_and_are_required_after_a_resize():
    device = torch.device('cpu')
    metas = [dict(scale_factor=(0.5, 2.0, 0.5, 2.0)), dict(img_shape=(4, 4), ori_shape=(4, 4)), dict(img_shape=(4, 4))]
    assert scale_factors(metas, device).tolist() == [[0.5, 2.0], [1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(KeyError, match='scale_factor: the image was resized'):
        scale_factors([dict(img_shape=(4, 4), ori_shape=(8, 8))], device)


def test_grid_points_inside_an_image_exclude_its_far_sides():
    grid = GridPyramid(((4, 4), (2, 2)), (8, 16))
    fine, coarse = grid.inside_image(torch.tensor([[0.0, 0.0, 16.0, 17.0]]))
    assert fine[0, 0].nonzero().tolist() == [[y, x] for y in (0, 1, 2) for x in (0, 1)]
    assert coarse[0, 0].nonzero().tolist() == [[0, 0], [1, 0]]
