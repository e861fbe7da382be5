import pytest
import torch
from mmcv.ops import batched_nms

from mmdet_kpheads.ops import class_nms, nms, soft_nms

from . import reference


def scene(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 40
    boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 25], 1)
    return boxes, torch.rand(count, generator=generator)


def test_nms_by_hand():
    """Boxes 10 x 10 at x = 0, 5 and 20. The first two share 50 of 150: overlap 1/3."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert nms(boxes, scores, 0.33).tolist() == [1, 2]
    assert nms(boxes, scores, 0.34).tolist() == [1, 2, 0]
    # With offset 1 they are 11 x 11 and share 66 of 176: overlap 0.375.
    assert nms(boxes, scores, 0.37, offset=1).tolist() == [1, 2]
    assert nms(boxes, scores, 0.38, offset=1).tolist() == [1, 2, 0]


@pytest.mark.parametrize('count', [1, 7, 300, 600])  # below, above and at several blocks of 256
@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_equals_the_loop(count, threshold, offset):
    boxes, scores = scene(count)
    assert nms(boxes, scores, threshold, offset).tolist() == reference.nms(boxes.double(), scores, threshold, offset)


def test_nms_long_chain():
    """Each box overlaps its neighbors only, so every second one stays: the most rounds within a block."""
    left = torch.arange(400.0)[:, None] * 4
    boxes = torch.cat([left, left * 0, left + 6, left * 0 + 1], 1)
    assert nms(boxes, torch.linspace(1, 0, 400), 0.1).tolist() == list(range(0, 400, 2))


def test_equal_scores_go_by_index():
    boxes = torch.tensor([[0.0, 0, 10, 10]] * 3 + [[50.0, 0, 60, 10]])
    scores = torch.ones(4)
    assert nms(boxes, scores, 0.5).tolist() == [0, 3]
    assert soft_nms(boxes, scores, method='naive')[1].tolist() == [0, 3]
    apart = torch.arange(300.0)[:, None] * 100 + torch.tensor([0.0, 0, 1, 1])
    assert nms(apart, torch.ones(300), 0.5).tolist() == list(range(300))
    assert soft_nms(apart, torch.ones(300))[1].tolist() == list(range(300))


def test_soft_nms_by_hand():
    """Two boxes with overlap 1/3: linear leaves 0.9 * 2/3 = 0.6, the Gaussian 0.9 * exp(-2/9)."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10]])
    scores = torch.tensor([0.9, 1.0])
    dets, kept = soft_nms(boxes, scores, iou_threshold=0.3, method='linear')
    assert kept.tolist() == [1, 0]
    torch.testing.assert_close(dets, torch.tensor([[5.0, 0, 15, 10, 1.0], [0, 0, 10, 10, 0.6]]))
    dets, _ = soft_nms(boxes, scores, sigma=0.5, method='gaussian')
    torch.testing.assert_close(dets[1, 4], 0.9 * torch.tensor(-2 / 9).exp())
    assert soft_nms(boxes, scores, iou_threshold=0.4, method='linear')[0][1, 4] == torch.tensor(0.9)
    assert len(soft_nms(boxes, scores, iou_threshold=0.3, method='naive')[1]) == 1


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('least', [0.0, 0.05, 0.5])
@pytest.mark.parametrize('count', [1, 9, 300])
def test_soft_nms_equals_the_loop(method, offset, least, count):
    boxes, scores = scene(count)
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, least, method, offset)
    expected = reference.soft_nms(boxes.double(), scores, 0.3, 0.5, least, method, offset)
    assert kept.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(dets[:, :4], boxes[kept])
    torch.testing.assert_close(dets[:, 4], torch.tensor([s for _, s in expected]), rtol=1e-5, atol=1e-7)


def test_soft_nms_keeps_the_first_box_whatever_its_score():
    boxes, _ = scene(3)
    kept = soft_nms(boxes, torch.tensor([0.001, 0.003, 0.002]), min_score=0.5)[1]
    assert kept.tolist() == [1]


@pytest.mark.parametrize('suppress', [lambda b, s: nms(b, s, 0.5), lambda b, s: soft_nms(b, s)[1]])
def test_order_of_the_boxes_changes_nothing(suppress):
    boxes, scores = scene(80)
    order = torch.randperm(80)
    assert torch.equal(order[suppress(boxes[order], scores[order])], suppress(boxes, scores))


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_no_boxes(method):
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    assert nms(boxes, scores, 0.5).shape == (0,)
    dets, kept = soft_nms(boxes, scores, method=method)
    assert dets.shape == (0, 5)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_hostile_boxes_end_and_give_numbers(method):
    """Boxes without area, turned round, infinite and NaN; scores infinite and NaN."""
    inf, nan = torch.inf, torch.nan
    boxes = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [9, 9, 1, 1], [0, 0, inf, inf], [nan] * 4, [0, 0, 4, 4]])
    scores = torch.tensor([0.5, 0.4, 0.3, 0.2, nan, inf])
    assert sorted(nms(boxes, scores, 0.5).tolist()) == [0, 1, 2, 3, 4, 5]
    kept = soft_nms(boxes, scores, method=method)[1].tolist()
    assert 4 not in kept
    assert kept[:3] == [5, 0, 1]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    boxes, scores = (t.to(dtype) for t in scene(40))
    assert nms(boxes, scores, 0.5).tolist() == reference.nms(boxes.double(), scores.double(), 0.5)
    assert soft_nms(boxes, scores)[0].dtype == dtype


def test_scores_of_another_dtype_than_the_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])
    assert nms(boxes, torch.tensor([0.5, 0.6, 0.7], dtype=torch.float64), 0.5).tolist() == [2, 1]


def test_errors():
    boxes, scores = scene(3)
    with pytest.raises(ValueError, match=r'boxes must have the shape \(N, 4\), got \(3, 5\)'):
        nms(torch.zeros(3, 5), scores, 0.5)
    with pytest.raises(ValueError, match=r'scores must have the shape \(3,\), got \(2,\)'):
        soft_nms(boxes, scores[:2])
    with pytest.raises(ValueError, match='offset must be 0 or 1, got 2'):
        nms(boxes, scores, 0.5, offset=2)
    with pytest.raises(ValueError, match=r"method must be one of .*got 'cubic'"):
        soft_nms(boxes, scores, method='cubic')


@pytest.mark.parametrize('limit', [1, 7, 100, 1000])
def test_nms_ends_with_the_boxes_that_are_wanted(limit):
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(700, 2, generator=generator) * 100
    boxes = torch.cat((corner, corner + torch.rand(700, 2, generator=generator) * 30), 1)
    scores = torch.rand(700, generator=generator)
    torch.testing.assert_close(nms(boxes, scores, 0.5, limit=limit), nms(boxes, scores, 0.5)[:limit])


@pytest.mark.parametrize('class_agnostic', [False, True])
def test_class_nms_is_mmcvs(class_agnostic):
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(300, 2, generator=generator) * 60
    boxes = torch.cat((corner, corner + 5 + torch.rand(300, 2, generator=generator) * 30), 1)
    scores, labels = torch.rand(300, generator=generator), torch.randint(4, (300,), generator=generator)
    _, expected = batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.4), class_agnostic)
    found = class_nms(boxes, scores, labels, 0.4, class_agnostic=class_agnostic)
    torch.testing.assert_close(found, expected)
    assert 10 < len(found) < 300
    assert class_nms(boxes[:0], scores[:0], labels[:0], 0.4).shape == (0,)
