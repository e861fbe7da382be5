"""Corner decoding: one pair by hand on a map that is not square, and each rule of pairing by itself."""

import math

import pytest
import torch

from mmdet_kpheads.decoding.corners import CornerMaps, decode_corners
from mmdet_kpheads.decoding.options import CornerDecoding
from mmdet_kpheads.structures import MapGeometry

H, W = 8, 12
EXTENT = torch.tensor([[0.0, 0.0, 46.0, 32.0]])  # the last column is in part padding
GEOMETRY = MapGeometry((H, W), (32, 48), EXTENT)


def corner(x, y, logit=2.0, label=1, tag=0.0, offset=(0.5, 0.25)):
    """Maps with one corner; cells elsewhere are far below it, and their tags far away."""
    heat, tags = torch.full((1, 3, H, W), -9.0), torch.full((1, 2, H, W), 99.0)
    heat[0, label, y, x], tags[0, :, y, x] = logit, tag
    return CornerMaps(heat, tags, torch.tensor(offset).view(1, 2, 1, 1).expand(1, 2, H, W))


def decoded(first, second, distance='l1', geometry=GEOMETRY, **options):
    return decode_corners(first, second, geometry, CornerDecoding(corner_topk=1, **options), distance)


def test_one_pair_by_hand():
    """Cells (2, 1) and (7, 5) with their offsets, 4 px per cell: (10, 5) to (30, 21)."""
    found = decoded(corner(2, 1, logit=1.0), corner(7, 5, logit=3.0))
    assert found.boxes.tolist() == [[[10.0, 5.0, 30.0, 21.0]]]
    assert found.labels.tolist() == [[1]] and found.valid.tolist() == [[True]]
    mean = (1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(-3))) / 2
    assert found.scores.item() == pytest.approx(mean, rel=1e-6)


def test_boxes_are_clipped_to_the_image():
    found = decoded(corner(0, 0, offset=(-0.5, -0.5)), corner(11, 7, offset=(0.9, 1.5)))
    assert found.boxes.tolist() == [[[0.0, 0.0, 46.0, 32.0]]]


@pytest.mark.parametrize(
    ('first', 'second', 'distance', 'paired'),
    [
        (corner(2, 1), corner(7, 5, label=2), 'l1', False),  # classes
        (corner(2, 1), corner(7, 5, tag=0.25), 'l1', True),  # tags 0.25 + 0.25 apart: the threshold itself
        (corner(2, 1), corner(7, 5, tag=0.26), 'l1', False),
        (corner(2, 1), corner(7, 5, tag=0.35), 'l2', True),  # 0.495 apart
        (corner(2, 1), corner(7, 5, tag=0.36), 'l2', False),
        (corner(7, 1), corner(2, 5), 'l1', False),  # left of the first
        (corner(2, 5), corner(7, 1), 'l1', False),  # above it
        (corner(2, 1), corner(2, 5), 'l1', False),  # no width
        (corner(2, 1), corner(7, 1), 'l1', False),  # no height
    ],
)
def test_rules_of_pairing(first, second, distance, paired):
    assert decoded(first, second, distance).valid.tolist() == [[paired]]


def test_without_tags_class_and_geometry_decide():
    first, second = (maps._replace(tags=None) for maps in (corner(2, 1), corner(7, 5, tag=50.0)))
    assert decoded(first, second).valid.all()
    assert not decoded(second, first).valid.any()


def test_tags_of_one_kind_alone_decide_nothing():
    first, second = corner(2, 1), corner(7, 5, tag=50.0)
    assert decoded(first._replace(tags=None), second).valid.all()
    assert decoded(first, second._replace(tags=None)).valid.all()


def test_a_pair_without_width_takes_no_place_of_a_box():
    """One result: the better pair has no width, so the other one comes out."""
    first, second = corner(2, 1), corner(7, 5, logit=1.0)
    second.heat_logits[0, 1, 5, 2], second.tags[0, :, 5, 2] = 3.0, 0.0
    found = decode_corners(first, second, GEOMETRY, CornerDecoding(corner_topk=2, num_dets=1))
    assert found.valid.all() and found.boxes.tolist() == [[[10.0, 5.0, 30.0, 21.0]]]


def test_no_corner_pairs_with_nothing():
    nothing = corner(7, 5)._replace(heat_logits=torch.full((1, 3, H, W), -torch.inf))
    assert not decoded(corner(2, 1), nothing, distance_threshold=1e9).valid.any()
    assert not decoded(nothing, corner(7, 5), distance_threshold=1e9).valid.any()


def test_the_best_pairs_come_first_and_at_most_so_many():
    first, second = corner(2, 1, 1.0), corner(9, 6, 3.0)
    first.heat_logits[0, 1, 0, 0], first.tags[0, :, 0, 0] = 2.0, 0.0
    options = CornerDecoding(corner_topk=2, num_dets=3)
    found = decode_corners(first, second, GEOMETRY, options)
    assert found.boxes.shape == (1, 3, 4) and found.valid.tolist() == [[True, True, False]]
    assert found.boxes[0, :2, :2].tolist() == [[2.0, 1.0], [10.0, 5.0]]
    assert (found.scores.diff() <= 0).all()
    assert decode_corners(first, second, GEOMETRY, CornerDecoding(corner_topk=2, num_dets=1)).boxes.shape == (1, 1, 4)


def test_score_threshold_is_exclusive_and_0_is_off():
    even = corner(2, 1, logit=0.0), corner(7, 5, logit=0.0)
    assert not decoded(*even, score_thr=0.5).valid.any()
    assert decoded(*even, score_thr=0.49).valid.all()
    hopeless = corner(2, 1, logit=-200.0), corner(7, 5, logit=-200.0)
    for maps in hopeless:
        maps.heat_logits[maps.heat_logits == -9] = -torch.inf
    assert decoded(*hopeless).valid.all()


def test_the_window_of_peaks():
    """The second best cell of the class is two cells away: a peak in a window of 3, none in one of 5."""
    first = corner(2, 1)
    first.heat_logits[0, 1, 1, 4], first.tags[0, :, 1, 4] = 1.0, 0.0
    for kernel, pairs in ((3, 2), (5, 1)):
        options = CornerDecoding(corner_topk=2, local_maximum_kernel=kernel)
        assert decode_corners(first, corner(7, 5), GEOMETRY, options).valid.sum() == pairs


def test_corners_in_the_padding_do_not_count():
    """The last two columns lie beyond an image that is 40 px wide."""
    narrow = GEOMETRY._replace(extent_px=torch.tensor([[0.0, 0.0, 40.0, 32.0]]))
    assert decoded(corner(2, 1), corner(9, 5), geometry=narrow).valid.all()
    assert not decoded(corner(2, 1), corner(10, 5), geometry=narrow, distance_threshold=1.0).valid.any()
