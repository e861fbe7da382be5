"""Which values of ``nms`` are accepted."""

import pytest

from mmdet_kpheads.decoding.options import _is_nms, _is_number, _is_whole


@pytest.mark.parametrize(
    ('value', 'accepted'),
    [
        ({}, True),
        ({'type': 'nms', 'iou_threshold': 0.5}, True),
        ({'iou_threshold': 0.5}, True),
        ({'type': 'nms'}, False),
        ({'type': 'soft_nms'}, True),
        ({'type': 'soft_nms', 'iou_threshold': 'x'}, False),
        ({'type': 'unknown', 'iou_threshold': 0.5}, False),
        ({'type': 'nms', 'iou_threshold': 'x'}, False),
    ],
)
def test_nms(value: dict, accepted: bool) -> None:
    assert bool(_is_nms(value)) is accepted


def test_numbers() -> None:
    assert [_is_number(value) for value in (1, 0.5, float('inf'), float('nan'))] == [True, True, False, False]
    assert [_is_whole(value) for value in (3, True, 1.5)] == [True, False, False]
