import pytest
import torch

from mmdet_kpheads.functional import distances
from mmdet_kpheads.functional.distances import find_distance

METRICS = ['L2', 'squared-L2', 'angular']


@pytest.mark.parametrize(('name', 'expected'), [('L2', 5.0), ('squared-L2', 25.0), ('angular', 1.0)])
def test_of_the_origin_and_a_3_4_5_triangle(name, expected):
    """The origin has no direction: its cosine with anything is 0."""
    distance = find_distance(name)(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    assert distance[0, 1] == distance[1, 0] == expected


def test_rows_without_a_direction_in_two_sets():
    x = torch.tensor([[[1e-6, 0.0], [2.0, 0.0]], [[0.0, 3.0], [0.0, 2e-6]]])
    assert find_distance('angular')(x).tolist() == [[[1.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_angular_of_right_angle_opposite_and_parallel():
    distance = find_distance('angular')(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0], [7.0, 0.0]]))
    torch.testing.assert_close(distance[0], torch.tensor([0.0, 1.0, 2.0, 0.0]))


@pytest.mark.parametrize('name', METRICS)
@pytest.mark.parametrize('backward_elements', [1, 40, 108, 1 << 26])
def test_every_pair_equals_its_own_computation(name, backward_elements, monkeypatch):
    monkeypatch.setattr(distances, 'BACKWARD_ELEMENTS', backward_elements)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    unit = x / x.norm(dim=-1, keepdim=True)
    result = find_distance(name)(x)
    for image in range(2):
        for i in range(6):
            for j in range(6):
                expected = {
                    'L2': (x[image, i] - x[image, j]).norm(),
                    'squared-L2': (x[image, i] - x[image, j]).square().sum(),
                    'angular': 1 - unit[image, i] @ unit[image, j],
                }[name]
                torch.testing.assert_close(result[image, i, j], expected)


@pytest.mark.parametrize('name', METRICS)
def test_gradcheck(name):
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    off_diagonal = ~torch.eye(5, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: find_distance(name)(x)[off_diagonal], x)


@pytest.mark.parametrize('name', METRICS)
@pytest.mark.parametrize('value', [0.0, 1e-7, 1.0, 65504.0])
def test_equal_rows_have_a_finite_gradient(name, value):
    x = torch.full((30, 40), value, requires_grad=True)
    distance = find_distance(name)(x)
    distance.sum().backward()
    assert distance.isfinite().all()
    assert x.grad.isfinite().all()
    if value >= 1 or name != 'angular':
        assert (distance == 0).all()


def test_unknown_name():
    with pytest.raises(ValueError, match=r"distance must be one of .*'squared-L2'.* but got 'L_2'"):
        find_distance('L_2')
