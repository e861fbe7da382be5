"""Decoding of grid points: one point by hand on a pyramid that is not square, and each option by itself."""

import pytest
import torch
from mmengine.config import ConfigDict

from mmdet_kpheads.decoding.grid_points import GridMaps, decode_grid_points
from mmdet_kpheads.decoding.options import CenterDecoding, GridDecoding, live_config, read_options
from mmdet_kpheads.structures import GridPyramid

GRID = GridPyramid(((3, 5), (2, 3)), (8, 16))
EXTENT = torch.tensor([[0.0, 0.0, 40.0, 24.0]])


def nothing():
    return [
        GridMaps(torch.full((1, 2, *size), -20.0), torch.full((1, 4, *size), 5.0), torch.zeros(1, 1, *size))
        for size in GRID.sizes
    ]


def with_point(levels, level, label, y, x, logit=2.0, objectness=1.0, distances=(1.0, 2.0, 3.0, 4.0)):
    maps = levels[level]
    maps.class_logits[0, label, y, x] = logit
    maps.objectness_logits[0, 0, y, x] = objectness
    maps.distances_px[0, :, y, x] = torch.tensor(distances)
    return levels


def decoded(levels, extent=EXTENT, **options):
    found = decode_grid_points(levels, GRID, extent, GridDecoding(**options))
    assert found.boxes.shape[:2] == found.scores.shape == found.labels.shape == found.valid.shape
    return found


def sigmoid(x):
    return float(torch.tensor(float(x)).sigmoid())


def test_one_point_of_each_level_by_hand():
    """Points (32, 8) of stride 8 and (16, 16) of stride 16, minus and plus their distances."""
    levels = with_point(nothing(), 0, 1, 1, 4, logit=1.0)
    found = decoded(with_point(levels, 1, 0, 1, 1, logit=3.0, objectness=2.0))
    assert found.valid[0].tolist() == [True, True] + [False] * (found.valid.shape[1] - 2)
    assert found.boxes[0, :2].tolist() == [[15.0, 14.0, 19.0, 20.0], [31.0, 6.0, 35.0, 12.0]]
    assert found.labels[0, :2].tolist() == [0, 1]
    expected = [sigmoid(3) * sigmoid(2), sigmoid(1) * sigmoid(1)]
    assert found.scores[0, :2].tolist() == pytest.approx(expected, rel=1e-6)


def test_images_of_a_batch_are_decoded_each_by_itself():
    first, second = with_point(nothing(), 0, 1, 1, 4), with_point(nothing(), 1, 0, 1, 1)
    batch = [
        GridMaps(*(torch.cat(pair) for pair in zip(*levels, strict=True))) for levels in zip(first, second, strict=True)
    ]
    found = decode_grid_points(batch, GRID, EXTENT.expand(2, 4), GridDecoding())
    for image, levels in enumerate((first, second)):
        for values, expected in zip(found, decoded(levels), strict=True):
            assert torch.equal(values[image], expected[0])


def test_the_limit_per_level_counts_class_scores():
    """Of two points the one with the better class comes through, though its objectness is worse."""
    levels = with_point(with_point(nothing(), 0, 0, 0, 1, logit=2.0, objectness=-5.0), 0, 0, 2, 3, logit=1.0)
    found = decoded(levels, nms_pre=1, score_thr=0.0)
    assert found.boxes.shape == (1, 2, 4)  # one per level
    assert [7.0, 0.0, 11.0, 4.0] in found.boxes[0].tolist()
    assert decoded(levels, nms_pre=0).boxes.shape == decoded(levels, nms_pre=-1).boxes.shape == (1, 2 * (15 + 6), 4)


def test_the_threshold_is_of_the_class_and_exclusive():
    levels = with_point(nothing(), 0, 0, 1, 1, logit=0.0, objectness=-9.0)
    assert decoded(levels, score_thr=0.49).valid.sum() == 1
    assert decoded(levels, score_thr=0.5).valid.sum() == 0


def test_boxes_are_clipped_and_those_without_area_or_objectness_are_no_boxes():
    found = decoded(with_point(nothing(), 0, 0, 1, 1, distances=(99.0, 99.0, 99.0, 99.0)))
    assert found.boxes[0, 0].tolist() == [0.0, 0.0, 40.0, 24.0]
    for distances in ((0.0, 1.0, 0.0, 1.0), (1.0, -3.0, 1.0, 1.0)):
        assert not decoded(with_point(nothing(), 0, 0, 1, 1, distances=distances)).valid.any()
    assert not decoded(with_point(nothing(), 0, 0, 1, 1, objectness=torch.nan)).valid.any()


def test_points_outside_the_image_are_left_out():
    """An image that ends at x = 32: the point there is outside, the one at 24 inside."""
    narrow = torch.tensor([[0.0, 0.0, 32.0, 24.0]])
    assert not decoded(with_point(nothing(), 0, 0, 1, 4), narrow).valid.any()
    assert decoded(with_point(nothing(), 0, 0, 1, 3), narrow).valid.sum() == 1


def test_filler_is_last_even_behind_scores_of_0():
    levels = with_point(with_point(nothing(), 0, 0, 0, 1, objectness=-200.0), 0, 0, 0, 3, distances=(0.0,) * 4)
    found = decoded(levels)
    assert found.valid[0].tolist() == [True] + [False] * (found.valid.shape[1] - 1)
    assert found.scores[0, 0] == 0


def test_options_come_from_the_config_and_unknown_ones_are_named():
    assert read_options(CenterDecoding, dict(topk=7), 'SomeHead') == CenterDecoding(topk=7)
    with pytest.raises(ValueError, match=r"test_cfg of SomeHead: unknown \['k'\]; it reads \['local_maximum_kernel', "):
        read_options(CenterDecoding, dict(k=7, topk=1), 'SomeHead')
    assert live_config(None) == {} and live_config(dict(topk=1)).topk == 1
    cfg = ConfigDict(topk=1)
    assert live_config(cfg) is cfg
