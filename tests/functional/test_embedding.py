import itertools

import pytest
import torch

from mmdet_kpheads.functional.embedding import gather_tags, pairing_report, pull_push


def slow_pull_push(tags, margin, p):
    """Of one image, from the paper: lists of objects of keypoints of channels."""
    means = [[sum(column) / len(column) for column in zip(*keypoints, strict=True)] for keypoints in tags]
    pull = push = 0.0
    for keypoints, mean in zip(tags, means, strict=True):
        for tag in keypoints:
            pull += sum((t - e) ** 2 for t, e in zip(tag, mean, strict=True)) / len(tags)
    for i, j in itertools.permutations(range(len(tags)), 2):
        distance = sum(abs(a - b) ** p for a, b in zip(means[i], means[j], strict=True)) ** (1 / p)
        push += max(0.0, margin - distance) / (len(tags) * (len(tags) - 1))
    return pull, push


@pytest.mark.parametrize('objects', [0, 1, 2, 5])
@pytest.mark.parametrize('batch', [1, 2, 4])
@pytest.mark.parametrize('keypoints', [1, 2, 5])
@pytest.mark.parametrize('channels', [1, 2, 8])
@pytest.mark.parametrize(('distance', 'p'), [('l1', 1), ('l2', 2)])
def test_equals_the_double_loop(objects, batch, keypoints, channels, distance, p):
    tags = torch.randn(batch, 7, keypoints, channels, dtype=torch.float64) * 0.5
    mask = torch.rand(batch, 7).argsort(1) < objects  # anywhere among the padding
    pull, push = pull_push(tags, mask, 1.3, distance)
    for image in range(batch):
        expected = slow_pull_push(tags[image][mask[image]].tolist(), 1.3, p)
        assert pull[image].item() == pytest.approx(expected[0], rel=1e-9, abs=1e-12)
        assert push[image].item() == pytest.approx(expected[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('distance', ['l1', 'l2'])
def test_gradcheck(distance):
    tags = (torch.randn(2, 4, 3, 2, dtype=torch.float64) * 0.3).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 0, 1]])
    assert torch.autograd.gradcheck(lambda tags: pull_push(tags, mask, 1.0, distance), tags)


def test_tags_of_one_map():
    maps = torch.arange(2 * 3 * 4).view(2, 3, 2, 2)
    cells = torch.tensor([[[0, 3]], [[2, 2]]])
    tags = gather_tags(maps, cells)
    assert tags.shape == (2, 1, 2, 3)
    assert tags[0, 0].tolist() == [[0, 4, 8], [3, 7, 11]]
    assert tags[1, 0].tolist() == [[14, 18, 22], [14, 18, 22]]


def test_tags_of_one_map_for_each_keypoint():
    first, second = torch.arange(4.0).view(1, 1, 2, 2), 10 + torch.arange(4.0).view(1, 1, 2, 2)
    tags = gather_tags([first, second], torch.tensor([[[0, 3], [1, 1]]]))
    assert tags[0, :, :, 0].tolist() == [[0, 13], [1, 11]]


def test_no_objects_give_no_tags_and_maps_still_get_a_gradient():
    maps = torch.ones(2, 3, 4, 4, requires_grad=True)
    for source in (maps, [maps, maps]):
        tags = gather_tags(source, torch.zeros(2, 0, 2, dtype=torch.int64))
        assert tags.shape == (2, 0, 2, 3)
        pull, push = pull_push(tags, torch.zeros(2, 0))
        (gradient,) = torch.autograd.grad((pull + push).sum(), maps)
        assert (gradient == 0).all()


def test_number_of_maps():
    with pytest.raises(ValueError, match='one for each of 4 keypoints, but got 3'):
        gather_tags([torch.zeros(1, 1, 2, 2)] * 3, torch.zeros(1, 1, 4, dtype=torch.int64))


def test_pairing_report_by_hand():
    """Tags (0, 0.2) and (1, 1.9): within 0.2 and 0.9; first against second 1.9 and 0.8, with threshold 0.85."""
    tags = torch.tensor([[[0.0, 0.2], [1.0, 1.9], [99.0, -99.0]]])[..., None]
    mask = torch.tensor([[True, True, False]])
    report = pairing_report(tags, mask, 0.85)
    assert [round(float(value), 5) for value in report] == [0.55, 1.35, 0.5, 0.5]


def test_pairing_report_reads_the_first_and_last_keypoint_by_the_norm_and_includes_the_threshold():
    tags = torch.tensor([[[[0.0, 0.0], [50.0, 50.0], [3.0, 4.0]], [[8.0, 0.0], [0.0, 50.0], [0.0, 0.0]]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    report = pairing_report(tags, mask, 7.0)  # l1 distances: own 7 and 8, first to last of the other 0 and 9
    assert [round(float(value), 5) for value in report] == [7.5, 4.5, 0.5, 0.5]
    report = pairing_report(tags, mask, 5.0, 'l2')  # 5 and 8, 0 and sqrt(41)
    assert [round(float(value), 4) for value in report] == [6.5, 3.2016, 0.5, 0.5]


def test_two_objects_push_up_to_a_distance_of_one():
    tags = torch.tensor([[[[0.0], [0.0]], [[0.75], [0.75]]]])
    assert pull_push(tags, torch.ones(1, 2)).push.item() == 0.25


def test_pairing_report_without_objects_or_with_one_is_finite():
    tags = torch.full((2, 3, 2, 4), torch.nan)
    tags[1, 0] = 1.0
    mask = torch.tensor([[False] * 3, [True, False, False]])
    assert [float(value) for value in pairing_report(tags, mask, 0.5, 'l2')] == [0.0, 0.0, 1.0, 0.0]
    assert [float(value) for value in pairing_report(tags[:1], mask[:1], 0.5)] == [0.0] * 4


def test_pairing_report_of_many_large_equal_tags_is_exact():
    report = pairing_report(torch.full((1, 40, 2, 3), 50.0), torch.ones(1, 40, dtype=torch.bool), 1e-6, 'l2')
    assert [float(value) for value in report] == [0.0, 0.0, 1.0, 1.0]
