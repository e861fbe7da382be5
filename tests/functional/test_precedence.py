import torch

from mmdet_kpheads.functional.precedence import first_of_each, smaller_first


def test_marks_the_first_valid_of_each_key():
    keys = torch.tensor([[3, 5, 3, 5, 0], [1, 1, 1, 1, 1]])
    valid = torch.tensor([[True, False, True, True, True], [False, False, True, True, False]])
    assert first_of_each(keys, valid).tolist() == [[True, False, False, True, True], [False, False, True, False, False]]


def test_equals_the_slow_version():
    keys, valid = torch.randint(6, (4, 40)), torch.rand(4, 40) > 0.4
    expected = torch.zeros(4, 40, dtype=torch.bool)
    for row in range(4):
        seen = set()
        for column in range(40):
            key = int(keys[row, column])
            if valid[row, column] and key not in seen:
                seen.add(key)
                expected[row, column] = True
    assert torch.equal(first_of_each(keys, valid), expected)


def test_smaller_area_then_x1_y1_x2_and_label_and_invalid_last():
    boxes = torch.tensor(
        [[0.0, 0, 9, 9], [4, 1, 6, 3], [2, 5, 4, 7], [2, 3, 4, 5], [0, 0, 1, 1], [2, 3, 6, 4], [2, 3, 4, 5]]
    )
    labels, valid = torch.tensor([0, 0, 0, 2, 0, 0, 1]), torch.tensor([True] * 4 + [False] + [True] * 2)
    assert smaller_first(boxes[None], labels[None], valid[None]).tolist() == [[6, 3, 5, 2, 1, 0, 4]]
    flipped = smaller_first(boxes.flip(0)[None], labels.flip(0)[None], valid.flip(0)[None])
    assert (6 - flipped).tolist() == [[6, 3, 5, 2, 1, 0, 4]]


def test_equal_boxes_keep_their_order():
    boxes = torch.tensor([0.0, 0, 2, 2]).expand(2, 100, 4)
    order = smaller_first(boxes, torch.zeros(2, 100), torch.ones(2, 100, dtype=torch.bool))
    assert order.tolist() == [list(range(100))] * 2
