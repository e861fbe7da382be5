import torch

from mmdet_kpheads.functional.precedence import first_of_each


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
