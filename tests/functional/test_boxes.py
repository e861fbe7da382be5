import torch

from mmdet_kpheads.functional.boxes import clip_boxes, has_area, mirror_boxes


def test_clip_to_one_extent_per_image():
    boxes = torch.tensor([[[-5.0, 2.0, 8.0, 50.0]], [[-5.0, 2.0, 8.0, 50.0]]])
    extent = torch.tensor([[0.0, 0.0, 10.0, 20.0], [1.0, 3.0, 6.0, 7.0]])
    assert clip_boxes(boxes, extent).tolist() == [[[0.0, 2.0, 8.0, 20.0]], [[1.0, 3.0, 6.0, 7.0]]]


def test_has_area():
    nan, inf = float('nan'), float('inf')
    boxes = torch.tensor(
        [[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0], [2, 2, 1, 1], [0, 0, nan, 1], [0, 0, inf, 1], [-inf, 0, 1, 1]]
    )
    assert has_area(boxes).tolist() == [True] + [False] * 6
    assert torch.equal(has_area(boxes[:, None]), has_area(boxes)[:, None])


def test_mirror():
    boxes = torch.tensor([[1.0, 2.0, 4.0, 9.0], [0.0, 0.0, 10.0, 5.0]])
    assert mirror_boxes(boxes, 10).tolist() == [[6.0, 2.0, 9.0, 9.0], [0.0, 0.0, 10.0, 5.0]]
    assert torch.equal(mirror_boxes(boxes[:, None], 10), mirror_boxes(boxes, 10)[:, None])
