import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.ops import soft_nms, soft_nms_batch
from tests.profiling import device_reads


def scene(images=3, boxes=40):
    corners = torch.rand(images, boxes, 2) * 60
    return torch.cat((corners, corners + 5 + torch.rand(images, boxes, 2) * 40), 2), torch.rand(images, boxes)


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_equals_one_image_and_one_class_at_a_time(method, offset):
    boxes, scores = scene()
    labels = torch.randint(3, scores.shape)
    options = dict(method=method, offset=offset, iou_threshold=0.3, sigma=0.4, min_score=0.05)
    kept, index = soft_nms_batch(boxes, scores, labels, 40, **options)
    for image in range(3):
        expected: dict[int, float] = {}
        for label in range(3):
            mine = (labels[image] == label).nonzero()[:, 0]
            rows, order = soft_nms(boxes[image, mine], scores[image, mine], **options)
            expected |= dict(zip(mine[order].tolist(), rows[:, 4].tolist(), strict=True))
        there = kept[image] > -torch.inf
        found = dict(zip(index[image][there].tolist(), kept[image][there].tolist(), strict=True))
        assert found == pytest.approx(expected, rel=1e-5)
        assert (kept[image][there].diff() <= 0).all()


def test_the_first_rounds_are_the_best_boxes():
    boxes, scores = scene()
    labels = torch.zeros_like(scores, dtype=torch.long)
    every, first = (soft_nms_batch(boxes, scores, labels, rounds, method='gaussian') for rounds in (40, 7))
    assert torch.equal(first[0], every[0][:, :7])
    assert torch.equal(first[1], every[1][:, :7])


def test_class_agnostic_is_one_class():
    boxes, scores = scene()
    labels, same = torch.randint(3, scores.shape), torch.zeros_like(scores, dtype=torch.long)
    agnostic = soft_nms_batch(boxes, scores, labels, 40, class_agnostic=True)
    assert all(torch.equal(a, b) for a, b in zip(agnostic, soft_nms_batch(boxes, scores, same, 40), strict=True))


def test_absent_boxes_are_never_taken_and_touch_nothing():
    boxes, scores = scene()
    labels = torch.zeros_like(scores, dtype=torch.long)
    absent = torch.rand(scores.shape) < 0.5
    kept, index = soft_nms_batch(boxes, scores.masked_fill(absent, -torch.inf), labels, 40, method='naive')
    assert not absent.gather(1, index)[kept > -torch.inf].any()
    assert not kept.isnan().any()
    nothing, _ = soft_nms_batch(boxes, torch.full_like(scores, -torch.inf), labels, 40)
    assert nothing.shape[1] == 40 and (nothing == -torch.inf).all()


@pytest.mark.parametrize('options', [{}, {'method': 'naive', 'iou_threshold': 0.1}])
def test_the_cpu_kernel_ends_with_the_last_box(options):
    boxes, scores = scene()
    labels = torch.zeros_like(scores, dtype=torch.long)
    scores[:, 30:] = -torch.inf
    kept, index = version_of(soft_nms_batch, boxes, 'cpu')(boxes, scores, labels, 100, **options)
    nothing, _ = version_of(soft_nms_batch, boxes, 'cpu')(boxes, torch.full_like(scores, -torch.inf), labels, 100)
    assert nothing.shape == (3, 0)
    short, short_index = soft_nms_batch(boxes[:, :30], scores[:, :30], labels[:, :30], 30, **options)
    assert kept.shape[1] == 30
    torch.testing.assert_close(kept, short, rtol=0, atol=0)
    torch.testing.assert_close(index, short_index, rtol=0, atol=0)


def test_nothing_is_read_from_the_device():
    boxes, scores = scene()
    labels = torch.randint(3, scores.shape)
    assert not device_reads(lambda: soft_nms_batch(boxes, scores, labels, 10))


@pytest.mark.parametrize(
    ('options', 'text'), [({'method': 'hard'}, 'method must be one of'), ({'offset': 2}, 'offset must')]
)
def test_bad_options_are_named(options, text):
    boxes, scores = scene()
    with pytest.raises(ValueError, match=text):
        soft_nms_batch(boxes, scores, scores.long(), 5, **options)
