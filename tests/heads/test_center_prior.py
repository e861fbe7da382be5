"""The learned center prior: which object, which class, which axis."""

import math

import pytest
import torch

from mmdet_kpheads.heads.center_prior import CenterPrior


@pytest.fixture(autouse=True)
def backend():
    """Once: nothing here depends on the backend."""
    return 'auto'


def test_each_pair_has_the_prior_of_the_class_of_its_object():
    prior = CenterPrior(num_classes=3)
    with torch.no_grad():
        prior.mean[2], prior.sigma[2] = torch.tensor([0.5, -1.0]), torch.tensor([2.0, 0.5])
    offset, labels, objects = torch.tensor([[1.0, 2.5], [0.0, -2.0]]), torch.tensor([2, 0]), torch.tensor([1, 0])
    plain = -(1.0**2) / 2  # mean 0, sigma 1
    moved = -(2.0**2) / (2 * 4) - (1.0**2) / (2 * 0.25)
    assert prior(offset, labels, objects).tolist() == pytest.approx([plain, moved])
    assert prior.half()(offset, labels, objects).dtype == torch.float32


def test_arguments_and_start_values():
    prior = CenterPrior()
    assert (prior.force_topk, prior.topk, prior.strides) == (False, 9, (8, 16, 32, 64, 128))
    assert prior.mean.shape == prior.sigma.shape == (80, 2) and not prior.mean.any() and (prior.sigma == 1).all()
    prior = CenterPrior(True, 1, 2, [4, 8])
    assert (prior.force_topk, prior.topk, prior.strides) == (True, 1, (4, 8)) and len(prior.mean) == 2
    with pytest.raises(ValueError, match='topk must be at least 1, but got 0'):
        CenterPrior(topk=0)
    assert math.isfinite(prior(torch.zeros(2, 1), torch.tensor([1]), torch.tensor([0])).item())
