"""What the detections of an image hold on to."""

import pytest
import torch

from mmdet_kpheads.heads import postprocess
from mmdet_kpheads.heads.postprocess import to_instances, valid_first
from mmdet_kpheads.structures import Detections
from tests.scenes import metas

SIZE = 64


@pytest.mark.parametrize('nms', [None, dict(type='soft_nms', iou_threshold=0.5)])
def test_detections_keep_no_memory_of_candidates(nms):
    """An evaluation keeps the detections of all images: of 1000 candidates it must not keep those that are left out."""
    corners = torch.rand(2, 1000, 2) * SIZE
    boxes = torch.cat((corners, corners + 8), -1)
    scores = torch.rand(2, 1000).sort(1, descending=True).values
    found = Detections(boxes, scores, torch.zeros(2, 1000, dtype=torch.long), torch.ones(2, 1000, dtype=torch.bool))
    instances = to_instances(found, metas(2, SIZE), False, nms, 10)
    assert [len(image) for image in instances] == [10, 10]
    for image in instances:
        for part in (image.bboxes, image.scores, image.labels):
            assert part.untyped_storage().nbytes() == 2 * part.nbytes  # those of both images


# of two images: two boxes that overlap by IoU 0.6, one apart, one of another class over the first; filler in between
BOXES = [[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 0, 0], [30, 30, 34, 50], [0, 0, 10, 10]]


def found_by_hand():
    boxes = torch.tensor([BOXES, BOXES])
    valid = torch.tensor([[True, True, False, True, True], [False, False, False, True, False]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]).repeat(2, 1)
    return Detections(boxes, scores, torch.tensor([0, 0, 0, 2, 1]).repeat(2, 1), valid)


def result(nms=None, max_per_img=-1, rescale=False, its_metas=None, **options):
    first, second = to_instances(found_by_hand(), its_metas or metas(2, SIZE), rescale, nms, max_per_img, **options)
    assert second.bboxes.shape == (len(second), 4)
    return first, second


def test_valid_boxes_of_each_image_in_their_order():
    first, second = result()
    assert first.bboxes.tolist() == [BOXES[i] for i in (0, 1, 3, 4)]
    assert first.scores.tolist() == pytest.approx([0.9, 0.8, 0.6, 0.5]) and first.labels.tolist() == [0, 0, 2, 1]
    assert second.bboxes.tolist() == [BOXES[3]] and second.labels.tolist() == [2]
    assert [len(result(max_per_img=limit)[0]) for limit in (0, 1, 2, 9)] == [4, 1, 2, 4]


def test_boxes_are_in_pixels_of_the_image_inside_the_border_and_on_request_of_the_original():
    """An image 8 px from the left and 4 px from the top, at twice the width and half the height."""
    meta = dict(metas(1, SIZE)[0], border=(4.0, 60.0, 8.0, 56.0), scale_factor=(2.0, 0.5))
    first, second = result(its_metas=[meta, metas(1, SIZE)[0]])
    assert first.bboxes[2].tolist() == [22, 26, 26, 46] and second.bboxes.tolist() == [BOXES[3]]
    first, _ = result(its_metas=[meta, meta], rescale=True)
    assert first.bboxes[2].tolist() == [11, 52, 13, 92]


def test_both_sides_must_be_longer_than_the_least():
    assert [len(result(min_side_px=side)[0]) for side in (0.0, 3.9, 4.0, 6.0, 10.0)] == [4, 4, 3, 2, 0]
    meta = dict(metas(1, SIZE)[0], scale_factor=(0.5, 0.5))  # in pixels of the original, twice as long
    assert [len(result(min_side_px=side, rescale=True, its_metas=[meta] * 2)[0]) for side in (7.9, 8.0)] == [4, 3]


@pytest.mark.parametrize('backend', ['cpu', 'reference'])
def test_nms_by_class_and_across_classes(backend):
    by_class = dict(type='nms', iou_threshold=0.5)
    first, second = result(by_class, backend=backend)
    assert first.bboxes.tolist() == [BOXES[i] for i in (0, 3, 4)] and first.labels.tolist() == [0, 2, 1]
    assert len(second) == 1
    assert result(dict(iou_threshold=0.5), backend=backend)[0].labels.tolist() == [0, 2, 1]
    assert len(result(dict(by_class, iou_threshold=0.7), backend=backend)[0]) == 4
    assert [len(result(by_class, limit, backend=backend)[0]) for limit in (-1, 0, 1, 2)] == [3, 3, 1, 2]
    assert result(dict(by_class, class_agnostic=True), backend=backend)[0].labels.tolist() == [0, 2]


def test_other_options_of_mmcv_are_its_affair():
    first, second = result(dict(type='nms', iou_threshold=0.5, max_num=2))
    assert first.bboxes.tolist() == [BOXES[0], BOXES[3]] and first.labels.tolist() == [0, 2] and len(second) == 1
    first, _ = result(dict(type='nms', iou_threshold=0.5, max_num=2), max_per_img=1)
    assert first.scores.tolist() == pytest.approx([0.9])


@pytest.mark.parametrize(
    ('nms', 'is_ours'),
    [
        (dict(iou_threshold=0.5), True),
        (dict(type='nms', iou_threshold=0.5), True),
        (dict(type='nms', iou_threshold=0.5, offset=1, class_agnostic=False), True),
        (dict(type='nms', iou_threshold=0.5, max_num=2), False),
        (dict(type='nms_match', iou_threshold=0.5), False),
    ],
)
def test_mmcv_does_what_our_nms_does_not(nms, is_ours, monkeypatch):
    calls = []

    def batched_nms(boxes, scores, labels, options):
        calls.append(options)
        return torch.cat((boxes, scores[:, None]), 1)[:1], torch.tensor([0])

    monkeypatch.setattr(postprocess, 'batched_nms', batched_nms)
    result(nms, backend='cpu')
    assert calls == ([] if is_ours else [nms, nms])


@pytest.mark.parametrize('backend', ['cpu', 'reference'])
def test_soft_nms_lowers_scores_and_sorts_again(backend):
    """Linear: the second box keeps 1 - 0.6 of 0.8, and comes last; boxes of other classes keep theirs."""
    options = dict(type='soft_nms', iou_threshold=0.3, method='linear')
    first, second = result(options, backend=backend)
    assert first.scores.tolist() == pytest.approx([0.9, 0.6, 0.5, 0.32]) and first.labels.tolist() == [0, 2, 1, 0]
    assert first.bboxes.tolist() == [BOXES[i] for i in (0, 3, 4, 1)] and second.bboxes.tolist() == [BOXES[3]]
    assert [len(result(options, limit, backend=backend)[0]) for limit in (0, 1, 3, 9)] == [4, 1, 3, 4]
    assert result(dict(options, iou_threshold=0.65), backend=backend)[0].scores.tolist() == pytest.approx(
        [0.9, 0.8, 0.6, 0.5]
    )


def test_valid_first_keeps_the_order_and_the_limit():
    found = valid_first(found_by_hand(), 3)
    assert found.valid.tolist() == [[True] * 3, [True, False, False]]
    assert found.boxes[0].tolist() == [BOXES[i] for i in (0, 1, 3)] and found.labels[1].tolist()[:1] == [2]
    assert valid_first(found_by_hand()).boxes.shape == (2, 5, 4)
