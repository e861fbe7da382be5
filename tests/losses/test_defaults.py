"""What losses do by default, and at the edges of what they accept."""

import math

import pytest
import torch

from mmdet_kpheads.functional.gaussian import Gaussians, draw
from mmdet_kpheads.losses.associative_embedding_loss import AssociativeEmbeddingLoss
from mmdet_kpheads.losses.build import require_weight
from mmdet_kpheads.losses.gaussian_focal_loss import GaussianFocalLoss

TAGS = torch.tensor([[[[0.0, 0.0], [1.0, 2.0]], [[1.0, 2.0], [1.5, 2.0]]]])  # (1, 2, 2, 2)
MASK = torch.ones(1, 2, dtype=torch.bool)


def test_pull_and_push_weigh_a_quarter() -> None:
    whole = AssociativeEmbeddingLoss(pull_weight=1.0, push_weight=1.0, margin=3.0)(TAGS, MASK)
    assert whole['push'] > 0
    for name, loss in AssociativeEmbeddingLoss(margin=3.0)(TAGS, MASK).items():
        torch.testing.assert_close(loss, whole[name] / 4)


def test_the_norm_is_that_of_the_option() -> None:
    by_norm = [AssociativeEmbeddingLoss(distance=name, margin=3.0)(TAGS, MASK)['push'] for name in ('l1', 'l2')]
    assert by_norm[0] != by_norm[1]


def test_one_keypoint_per_object_is_accepted_and_none_is_not() -> None:
    assert AssociativeEmbeddingLoss()(TAGS[:, :, :1], MASK)['pull'] == 0
    with pytest.raises(ValueError, match='tags must be'):
        AssociativeEmbeddingLoss()(TAGS[:, :, :0], MASK)


@pytest.mark.parametrize('backend', ['reference', 'cpu'])
def test_undrawn_gaussians_give_the_loss_of_each_cell_of_the_drawn_map(backend: str) -> None:
    cells, ones = torch.tensor([[[2, 3]]]), torch.ones(1, 1, dtype=torch.int64)
    gaussians = Gaussians((1, 1, 6, 7), cells, 2 * ones, 0 * ones, ones.bool(), 3)
    logits = torch.linspace(-3, 3, 42).reshape(1, 1, 6, 7)
    loss = GaussianFocalLoss(reduction='none', backend=backend)
    torch.testing.assert_close(loss(logits, gaussians), loss(logits, draw(gaussians)))


@pytest.mark.parametrize('weight', [0, 0.0, 0.5, 3])
def test_weights_that_are_accepted(weight: float) -> None:
    require_weight(weight, 'loss_x.loss_weight')


@pytest.mark.parametrize('weight', [-0.5, math.inf, math.nan, '1', None])
def test_weights_that_are_refused(weight: object) -> None:
    with pytest.raises(ValueError, match=r'loss_x\.loss_weight must be a finite number, 0 or more, but is'):
        require_weight(weight, 'loss_x.loss_weight')
