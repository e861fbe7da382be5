import math

import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.gaussian import Gaussians, draw, gaussian_radius, largest_radius, windows
from mmdet_kpheads.kernels import cpu
from mmdet_kpheads.kernels.cpu import nonzero_gaussians
from tests.reference import center as reference


def radius(h, w, t, mode='exact'):
    return float(gaussian_radius(torch.tensor(h, dtype=torch.float64), torch.tensor(w, dtype=torch.float64), t, mode))


@pytest.mark.parametrize(
    ('t', 'mode', 'expected'), [(0.7, 'legacy', 27.332), (0.3, 'exact', 22.614), (0.7, 'exact', 8.167)]
)
def test_published_radii_of_a_100_by_100_box(t, mode, expected):
    assert radius(100.0, 100.0, t, mode) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize('t', [0.1, 0.3, 0.7])
@pytest.mark.parametrize(('h', 'w'), [(1.0, 1.0), (3.7, 40.2), (128.0, 64.0), (0.2, 9.0)])
def test_exact_radius_is_where_the_overlap_reaches_the_threshold(h, w, t):
    r = radius(h, w, t)
    assert r == pytest.approx(reference.radius_exact(h, w, t), rel=1e-9)
    assert reference.iou_of_shift(h, w, r) == pytest.approx(t, rel=1e-6)


def test_equals_mmdet_over_many_sizes():
    from mmdet.models.utils import gaussian_radius as mmdet_radius

    sizes = torch.rand(200, 2) * 120 + 0.5
    ours = gaussian_radius(sizes[:, 0], sizes[:, 1], 0.3).floor()
    theirs = torch.tensor([int(mmdet_radius(list(size), min_overlap=0.3)) for size in sizes])
    assert torch.equal(ours, theirs.float())


def test_radius_is_the_smallest_of_the_three_ways_to_shift_a_box():
    for t in (0.1, 0.3, 0.7):
        for h, w in ((2.0, 2.0), (3.7, 40.2), (128.0, 64.0), (1.0, 9.0)):
            assert radius(h, w, t) == pytest.approx(reference.radius_exact(h, w, t), rel=1e-9)
            legacy = reference.radius_of_centernet(math.ceil(h), math.ceil(w), t)
            assert radius(math.ceil(h), math.ceil(w), t, 'legacy') == pytest.approx(legacy, rel=1e-9)


@pytest.mark.parametrize(('mode', 't'), [('exact', 0.3), ('legacy', 0.7)])
def test_the_bound_is_the_radius_of_the_whole_map(mode, t):
    assert largest_radius((40, 60), t, mode) == math.floor(radius(40.0, 60.0, t, mode))


def test_no_box_inside_the_map_has_a_larger_radius():
    for mode, t in (('exact', 0.3), ('legacy', 0.7)):
        bound = largest_radius((40, 60), t, mode)
        h, w = torch.rand(2, 1000) * torch.tensor([[40.0], [60.0]])
        assert gaussian_radius(h, w, t, mode).floor().max() <= bound


def test_a_box_as_large_as_the_map_is_not_cut():
    """At 24 x 30 the root is just below 6: float32 rounds it up, float64 does not."""
    for height in range(1, 130):
        sides = torch.arange(1.0, 200.0)
        in_float32 = gaussian_radius(torch.full_like(sides, height), sides, 0.3).floor().long().tolist()
        bounds = [largest_radius((height, int(side)), 0.3, 'exact') for side in sides.tolist()]
        assert all(radius <= bound for radius, bound in zip(in_float32, bounds, strict=True)), height


@pytest.mark.parametrize(
    ('mode', 't', 'text'),
    [('paper', 0.3, 'radius must be'), ('exact', 1.0, 'min_overlap must'), ('exact', 0.0, 'min_overlap must')],
)
def test_bad_options_are_named(mode, t, text):
    with pytest.raises(ValueError, match=text):
        gaussian_radius(torch.ones(1), torch.ones(1), t, mode)


def test_drawing_equals_the_loop_and_the_own_cell_is_exactly_one(backend):
    boxes = [[0.0, 0.0, 20.0, 30.0], [10.0, 12.0, 62.0, 60.0], [40.0, 40.0, 44.0, 43.0], [12.0, 14.0, 60.0, 58.0]]
    labels = [0, 1, 1, 1]
    expected = reference.heatmap(boxes, labels, 2, 16, 16, 0.25)
    scaled = torch.tensor([boxes]) / 4
    size = scaled[..., 2:] - scaled[..., :2]
    cells = ((scaled[..., 2:] + scaled[..., :2]) / 2).long()
    r = gaussian_radius(size[..., 1], size[..., 0], 0.3).floor().long()
    valid = torch.ones(1, 4, dtype=torch.bool)
    gaussians = Gaussians((1, 2, 16, 16), cells, r, torch.tensor([labels]), valid, 8)
    drawn = version_of(draw, cells, backend)(gaussians)
    torch.testing.assert_close(drawn[0].double(), expected, rtol=1e-6, atol=1e-7)
    assert all(drawn[0, label, y, x] == 1 for label, (x, y) in zip(labels, cells[0].tolist(), strict=True))


def many_gaussians():
    cells = torch.randint(0, 12, (2, 30, 2))
    r = torch.randint(0, 4, (2, 30))
    labels = torch.randint(0, 3, (2, 30))
    valid = torch.rand(2, 30) > 0.3
    return Gaussians((2, 3, 12, 12), cells, r, labels, valid, 4)


def slow_draw(gaussians):
    heatmap = torch.zeros(gaussians.shape)
    for image, box in gaussians.valid.nonzero().tolist():
        (x0, y0), r = gaussians.cells[image, box].tolist(), int(gaussians.radius[image, box])
        plane = heatmap[image, gaussians.labels[image, box]]
        for y in range(max(0, y0 - r), min(gaussians.shape[2], y0 + r + 1)):
            for x in range(max(0, x0 - r), min(gaussians.shape[3], x0 + r + 1)):
                value = math.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * ((2 * r + 1) / 6) ** 2))
                plane[y, x] = max(float(plane[y, x]), value)
    return heatmap


def test_drawing_near_every_side_equals_the_loop(backend):
    gaussians = many_gaussians()._replace(shape=(2, 3, 12, 15))
    drawn = version_of(draw, gaussians.cells, backend)(gaussians)
    torch.testing.assert_close(drawn, slow_draw(gaussians))


@pytest.mark.parametrize('at_once', [81 * 60 + 1, 81 * 60, 500, 1])
def test_drawing_in_parts_changes_nothing(at_once):
    gaussians = many_gaussians()
    parts = list(windows(gaussians, at_once))
    assert sum(len(index) for index, _ in parts) == 81 * 60  # every box once
    assert len(parts) == 1 or max(len(index) for index, _ in parts) <= max(at_once, 2 * 81)  # a box of each image
    whole = draw(gaussians)
    assert torch.equal(draw(gaussians, at_once), whole)
    index, value = nonzero_gaussians(gaussians, torch.full(gaussians.shape, torch.nan))
    assert torch.equal(torch.zeros(whole.numel()).scatter(0, index, value).view_as(whole), whole)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_sparse_cells_are_those_of_the_drawn_map_each_once(dtype):
    gaussians = many_gaussians()
    index, value = nonzero_gaussians(gaussians, torch.full(gaussians.shape, torch.nan, dtype=dtype))
    heatmap = draw(gaussians).flatten().to(dtype)
    expected_index = heatmap.nonzero()[:, 0]
    expected_value = heatmap[expected_index]
    order = index.argsort()
    assert torch.equal(index[order], expected_index)
    assert torch.equal(value[order], expected_value)


def test_the_cpu_kernel_makes_windows_for_the_largest_radius_of_a_valid_box():
    """Radii 1, 3 and 2, and a bound of 9 for every box inside the map."""
    radius, labels = torch.tensor([[1, 3, 2]]), torch.zeros(1, 3, dtype=torch.int64)
    valid = torch.tensor([[True, False, True]])
    gaussians = Gaussians((1, 1, 9, 9), torch.full((1, 3, 2), 4), radius, labels, valid, 9)
    assert cpu._tight(gaussians).max_radius == 2
    assert cpu._tight(gaussians._replace(max_radius=1)).max_radius == 1
    assert cpu._tight(gaussians._replace(valid=~valid)).max_radius == 3
    assert cpu._tight(gaussians._replace(valid=valid & False)).max_radius == 0
    assert cpu._tight(gaussians._replace(radius=radius[:, :0], valid=valid[:, :0])).max_radius == 0


def test_no_boxes_give_no_cells():
    none = torch.zeros(2, 0, dtype=torch.int64)
    gaussians = Gaussians((2, 3, 4, 4), none[..., None].expand(2, 0, 2), none, none, none.bool(), 3)
    assert len(nonzero_gaussians(gaussians, torch.full(gaussians.shape, torch.nan))[0]) == 0
    assert not draw(gaussians).any()
