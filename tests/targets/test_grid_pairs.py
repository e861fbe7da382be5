"""Pairs of objects and grid points against one test per grid point and object."""

import pytest
import torch

from mmdet_kpheads.structures import GridPyramid, GroundTruth
from mmdet_kpheads.targets.grid_pairs import fitting_level, grid_pairs
from tests.reference.autoassign import inside, points_of
from tests.scenes import instances, metas

STRIDES = (8, 16, 32)
SIZES = ((16, 16), (8, 8), (4, 4))
GRID = GridPyramid(SIZES, STRIDES)
SIZE = 128


def truth_of(*images):
    return GroundTruth.from_instances(images, metas(len(images), SIZE), 3, 'head')


def random_boxes(count, seed, side=60.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * SIZE
    boxes = torch.cat((corner, corner + torch.rand(count, 2, generator=generator) * side), 1)
    boxes[::3] = (boxes[::3] / 8).round() * 8  # sides that lie on points: those are not inside
    return instances(boxes, torch.arange(count) % 3)


def found(truth, grid=GRID, forced=0, step=None):
    pairs = grid_pairs(truth, grid, forced)
    step = step or max(pairs.total, 1)
    parts = [pairs.slice(first, min(first + step, pairs.total)) for first in range(0, pairs.total, step)]
    points, boxes = grid.starts[-1], truth.boxes.shape[1]
    found = [pair for part in parts for pair in zip(part.objects.tolist(), part.points.tolist(), strict=True)]
    assert all(point // points == box // boxes for box, point in found)  # a point of the box's own image
    return [(box, point % points) for box, point in found], pairs


@pytest.mark.parametrize('step', [None, 1, 7, 1000])
def test_pairs_equal_a_test_of_every_point_and_box(step):
    truth = truth_of(random_boxes(9, 0), random_boxes(0, 1), random_boxes(4, 2))
    points = points_of(SIZES, STRIDES)
    expected = [
        (index, number)
        for index, (box, valid) in enumerate(
            zip(truth.boxes.flatten(0, 1).tolist(), truth.valid.flatten(), strict=True)
        )
        if valid
        for number, point in enumerate(points)
        if inside(point, box)
    ]
    pairs, table = found(truth, step=step)
    assert pairs == expected
    covered = {box for box, _ in expected}
    assert table.covered.flatten().nonzero().flatten().tolist() == sorted(covered)


def test_grid_points_and_strides_are_in_the_order_of_the_levels():
    expected = torch.tensor(points_of(SIZES, STRIDES), dtype=torch.float32)
    device = torch.device('cpu')
    assert torch.equal(torch.cat((GRID.points_px(device), GRID.stride_px(device)[:, None]), 1), expected)


def test_points_inside_ignore_boxes():
    truth = truth_of(random_boxes(5, 3), random_boxes(0, 0))
    boxes = truth.boxes.clone()
    expected = [
        [
            any(valid and inside(point, box) for box, valid in zip(image, valids, strict=True))
            for point in points_of(SIZES, STRIDES)
        ]
        for image, valids in zip(boxes.tolist(), truth.valid.tolist(), strict=True)
    ]
    assert GRID.inside_boxes(boxes, truth.valid).tolist() == expected


def test_the_fitting_level_is_the_finest_whose_range_holds_the_longer_side():
    sides = torch.tensor([1.0, 64, 65, 128, 129, 1000])
    boxes = torch.stack((sides * 0, sides * 0, sides, sides / 2), 1)
    for moved in (boxes, boxes + 500, boxes[:, [1, 0, 3, 2]] - 30):
        assert fitting_level(moved, torch.tensor([8.0, 16, 32])).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize('k', [1, 2, 3, 4, 6, 9, 20])
def test_forced_points_are_the_nearest_of_the_fitting_level(k):
    """A box without a point: k points of one level, none left out that is nearer."""
    generator = torch.Generator().manual_seed(4)
    corner = torch.rand(60, 2, generator=generator) * SIZE
    corner[:8] = torch.tensor([[0.1, 0.1], [121, 121], [0.1, 121], [121, 0.1], [60, 121], [121, 60], [60, 1], [1, 60]])
    corner = (corner / 8).floor() * 8 + 1
    long_sides = torch.tensor([6.0, 100.0])[torch.arange(60) % 2]
    width = 1 + 5 * torch.rand(60, generator=generator)
    boxes = torch.stack((corner[:, 0], corner[:, 1], corner[:, 0] + width, corner[:, 1] + long_sides), 1)
    truth = truth_of(instances(boxes, torch.zeros(60)))
    pairs, table = found(truth, forced=k)
    points = torch.tensor(points_of(SIZES, STRIDES))
    without = [box for box in range(60) if not table.covered[0, box]]
    assert len(without) > 20
    for box in without:
        chosen = [point for owner, point in pairs if owner == box]
        level = int(fitting_level(truth.boxes[0, box], torch.tensor(STRIDES)))
        own = points[:, 2] == STRIDES[level]
        center = (truth.boxes[0, box, :2] + truth.boxes[0, box, 2:]) / 2
        far = ((points[:, :2] - center) ** 2).sum(1)
        assert len(set(chosen)) == min(k, int(own.sum()))
        assert own[chosen].all()
        torch.testing.assert_close(far[chosen].sort().values, far[own].sort().values[: len(chosen)])


def test_a_level_with_fewer_grid_points_gives_all_of_them():
    grid = GridPyramid(((1, 2), (1, 1)), (64, 128))
    truth = truth_of(instances([[1, 1, 5, 5], [1, 1, 9, 9]], [0, 1]))
    pairs, _ = found(truth, grid, forced=9)
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_no_boxes_give_no_pairs():
    pairs = grid_pairs(truth_of(instances([], [])), GRID, 9)
    assert pairs.total == 0
    assert [index.shape for index in pairs.slice(0, 0)] == [(0,), (0,)]


def test_an_image_as_wide_as_the_window_gives_its_first_column_too():
    meta = dict(batch_input_shape=(8, SIZE), img_shape=(8, 72))  # 9 grid points
    truth = GroundTruth.from_instances([instances([[69, 1, 71, 5], [1, 1, 3, 5]], [0, 0])], [meta], 1, 'head')
    pairs, _ = found(truth, GridPyramid(((1, 16),), (8,)), forced=9)
    assert sorted(pairs) == [(box, point) for box in (0, 1) for point in range(9)]


def test_no_points_are_forced_unless_asked_for():
    assert grid_pairs(truth_of(instances([[1, 1, 5, 5]], [0])), GRID).total == 0


@pytest.mark.parametrize('k', [2, 3, 4])
def test_forced_points_on_a_single_row(k):
    grid = GridPyramid(((1, 12),), (8,))
    for x in torch.arange(8.5, 80, 3.7).tolist():
        truth = truth_of(instances([[x, 1, x + 1, 5]], [0]))
        pairs, table = found(truth, grid, forced=k)
        if not table.covered[0, 0]:
            far = (torch.arange(12) * 8.0 - x - 0.5).abs()
            chosen = torch.tensor([point for _, point in pairs])
            torch.testing.assert_close(far[chosen], far.sort().values[:k])


@pytest.mark.parametrize('k', [1, 4, 9])
def test_forced_points_are_inside_the_image(k):
    """Image 40 x 56 in an input of 128 x 128: no grid point at or beyond its far sides."""
    meta = dict(batch_input_shape=(SIZE, SIZE), img_shape=(40, 56))
    boxes = [[49.0, 33, 55, 39], [1, 33, 7, 39], [49, 1, 55, 7], [25, 17, 31, 23]]
    truth = GroundTruth.from_instances([instances(boxes, [0] * 4)], [meta], 1, 'head')
    pairs, table = found(truth, forced=k)
    assert not table.covered.any()
    x, y, _ = torch.tensor(points_of(SIZES, STRIDES)).unbind(1)
    chosen = [point for _, point in pairs]
    assert len(chosen) == 4 * k
    assert (x[chosen] < 56).all() and (y[chosen] < 40).all()


def test_an_image_smaller_than_the_window_gives_the_grid_points_that_it_has():
    meta = dict(batch_input_shape=(SIZE, SIZE), img_shape=(9, 17))
    truth = GroundTruth.from_instances([instances([[1, 1, 5, 5]], [0])], [meta], 1, 'head')
    pairs, _ = found(truth, forced=9)
    assert sorted(point for _, point in pairs) == [0, 1, 2, 16, 17, 18]
