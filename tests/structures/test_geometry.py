"""Pixels and cells, images inside the input, and the grid of a pyramid."""

import warnings

import pytest
import torch

from mmdet_kpheads.errors import KpheadsWarning
from mmdet_kpheads.structures import GridPyramid, MapGeometry
from mmdet_kpheads.structures.geometry import full_extents, grid_points_between, image_extents, scale_factors

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


def test_the_extent_of_a_batch_comes_from_border_or_shape_and_only_a_shape_is_padding():
    whole = dict(batch_input_shape=(60, 80, 3))
    framed = dict(batch_input_shape=(60, 80), img_shape=(40, 50), border=(10, 50, 20, 70))
    part = dict(batch_input_shape=(60, 80), img_shape=(40, 50, 3))
    heatmap = torch.zeros(2, 7, 15, 20)
    for metas, extents, has_padding in (
        ([whole, framed], [[0, 0, 80, 60], [20, 10, 70, 50]], False),
        ([whole, part], [[0, 0, 80, 60], [0, 0, 50, 40]], True),
    ):
        geometry = MapGeometry.from_metas(metas, heatmap)
        assert geometry.map_size == (15, 20) and geometry.input_size == (60, 80)
        assert geometry.extent_px.tolist() == extents and geometry.extent_px.dtype == torch.float32
        assert geometry.has_padding is has_padding and geometry.is_mirrored is False
    assert MapGeometry.under(heatmap, (60, 80), geometry.extent_px) == geometry


@pytest.mark.parametrize('border', [(0, 64, 5, 5), (5, 5, 0, 64), (8, 4, 0, 64), (0, 64, 8, 4)])
def test_a_border_without_width_or_height_has_no_area(border):
    meta = dict(batch_input_shape=(64, 64), img_shape=(60, 50), border=border)
    with pytest.warns(KpheadsWarning, match='border must be'):
        assert image_extents([meta], torch.device('cpu')).tolist() == [[border[2], border[0], 50, 60]]


def test_full_extents_are_those_of_the_input():
    assert full_extents((60, 80), torch.zeros(2, 1)).tolist() == [[0, 0, 80, 60]] * 2


def test_cells_along_both_axes_of_a_map_that_is_not_square():
    """3 x 5 cells of 10 x 8 px; images end at (17, 20) and (40, 30): in the third column, at the second row's end."""
    geometry = MapGeometry((3, 5), (30, 40), torch.tensor([[0.0, 0.0, 17.0, 20.0], [0.0, 0.0, 40.0, 30.0]]))
    valid = geometry.valid_cells()
    assert valid is not None and valid[1].all()
    assert valid[0, 0].nonzero().tolist() == [[y, x] for y in (0, 1) for x in (0, 1, 2)]
    assert geometry.last_cell().tolist() == [[2, 1], [4, 2]]
    outside = geometry._replace(extent_px=torch.tensor([[0.0, 0.0, 0.0, 0.0]]))
    assert outside.last_cell().tolist() == [[0, 0]]
    boxes = torch.tensor(
        [[[8.0, 10.0, 16.0, 20.0], [33.0, 0.0, 34.0, 0.5]], [[0.0, 0.0, 40.0, 30.0], [15.0, 9.0, 17.0, 11.0]]]
    )
    touched = geometry.touched_cells(boxes, torch.tensor([[True, True], [False, True]]))
    assert touched.shape == (2, 1, 3, 5)
    assert touched.nonzero()[:, [0, 2, 3]].tolist() == [
        [0, 0, 4], [0, 1, 1], [1, 0, 1], [1, 0, 2], [1, 1, 1], [1, 1, 2],
    ]  # fmt: skip


def test_scales_of_a_map_that_is_square_and_of_one_that_is_not():
    square = MapGeometry((16, 16), (64, 64), FULL)
    assert square.to_cells(torch.tensor([4.0, 8.0])).tolist() == [1, 2]
    assert square.to_px(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[4, 8, 12, 16]]
    oblong = MapGeometry((3, 5), (30, 40), FULL)
    assert oblong.to_px(torch.ones(2, 4)).tolist() == [[8, 10, 8, 10]] * 2
    assert oblong.to_cells(torch.tensor([[8.0, 10.0]])).tolist() == [[1, 1]]


def test_grid_points_of_a_pyramid_by_hand():
    grid = GridPyramid.from_maps([torch.zeros(1, 9, 2, 3), torch.zeros(1, 9, 1, 2)], [8, 16])
    assert (grid.sizes, grid.strides, grid.starts) == (((2, 3), (1, 2)), (8, 16), (0, 6, 8))
    points = [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8], [0, 0], [16, 0]]
    assert grid.points_px(torch.device('cpu')).tolist() == points
    assert grid.stride_px(torch.device('cpu')).tolist() == [8] * 6 + [16] * 2
    assert grid.points_at(1, torch.tensor([[1, 0]])).tolist() == [[[16, 0], [0, 0]]]
    boxes = torch.tensor(
        [[[-1.0, -1.0, 8.0, 8.0], [15.0, 7.0, 17.0, 9.0]], [[-1.0, -1.0, 99.0, 99.0], [7.0, 0.0, 9.0, 9.0]]]
    )
    inside = grid.inside_boxes(boxes, torch.tensor([[True, True], [False, True]]))
    assert inside.nonzero().tolist() == [[0, 0], [0, 5], [0, 6], [1, 4]]
    images = torch.tensor([[8.0, 0.0, 16.0, 8.0], [0.0, 8.0, 99.0, 99.0]])
    fine, coarse = grid.inside_image(images)
    assert fine.shape == (2, 1, 2, 3) and coarse.shape == (2, 1, 1, 2)
    assert fine[:, 0].nonzero().tolist() == [[0, 0, 1], [1, 1, 0], [1, 1, 1], [1, 1, 2]] and not coarse.any()


def test_strides_fit_to_one_cell():
    """Backbones round up or down."""
    grid = GridPyramid(((4, 6),), (16,))
    for input_size in ((64, 96), (80, 96), (48, 96), (64, 112), (64, 80)):
        grid.require_strides(input_size)
    for input_size in ((81, 96), (47, 96), (64, 113), (64, 79)):
        with pytest.raises(ValueError, match=r'strides \(16,\) do not fit the feature maps: a map of \(4, 6\) cells'):
            grid.require_strides(input_size)


def test_grid_points_between_two_sides():
    """Strictly between, and on the map: of 0, 8, 16, 24 and 32 px."""
    low, high = (
        torch.tensor([-5.0, 0.0, 7.9, 8.0, 17.0, 30.0, 40.0]),
        torch.tensor([5.0, 16.0, 24.1, 9.0, 23.0, 99.0, 50.0]),
    )
    first, count = grid_points_between(low, high, torch.tensor(8.0), torch.tensor(5))
    assert count.tolist() == [1, 1, 3, 0, 0, 1, 0]
    assert first[count > 0].tolist() == [0, 1, 1, 4]


def test_a_resized_image_inside_a_border_needs_no_scale():
    meta = dict(img_shape=(4, 4), ori_shape=(8, 8), border=(0, 4, 0, 4))
    assert scale_factors([meta], torch.device('cpu')).tolist() == [[1.0, 1.0]]
    for sizes in (dict(img_shape=(4, 8), ori_shape=(4, 4)), dict(img_shape=(8, 4, 3), ori_shape=(4, 4, 3))):
        with pytest.raises(KeyError, match='meta lacks this key'):
            scale_factors([sizes], torch.device('cpu'))
    assert scale_factors([dict(img_shape=(4, 4, 3), ori_shape=(4, 4))], torch.device('cpu')).tolist() == [[1.0, 1.0]]
