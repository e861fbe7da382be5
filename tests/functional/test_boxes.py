import torch

from mmdet_kpheads.functional.boxes import cells_touched, clip_boxes, has_area


def test_clip_to_one_extent_an_image():
    boxes = torch.tensor([[[-5.0, 2.0, 8.0, 50.0]], [[-5.0, 2.0, 8.0, 50.0]]])
    extent = torch.tensor([[0.0, 0.0, 10.0, 20.0], [1.0, 3.0, 6.0, 7.0]])
    assert clip_boxes(boxes, extent).tolist() == [[[0.0, 2.0, 8.0, 20.0]], [[1.0, 3.0, 6.0, 7.0]]]


def test_has_area():
    nan, inf = float('nan'), float('inf')
    boxes = torch.tensor(
        [[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0], [2, 2, 1, 1], [0, 0, nan, 1], [0, 0, inf, 1], [-inf, 0, 1, 1]]
    )
    assert has_area(boxes).tolist() == [True] + [False] * 6


def test_cells_touched():
    boxes = torch.tensor([[[4.0, 0.0, 8.0, 4.0], [9.0, 9.0, 9.5, 9.5], [0.0, 0.0, 16.0, 16.0]]])
    valid = torch.tensor([[True, True, False]])
    mask = cells_touched(boxes, valid, (4, 4), (0.25, 0.25))
    assert mask[0, 0].nonzero().tolist() == [[0, 1], [2, 2]]  # cell (x=1, y=0) and (x=2, y=2)
    assert not cells_touched(boxes[:, :0], valid[:, :0], (4, 4), (0.25, 0.25)).any()
