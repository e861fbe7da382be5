import pytest
import torch

from mmdet_kpheads.losses import GaussianFocalLoss
from mmdet_kpheads.losses.build import ELEMENT_LOSS, HEATMAP_LOSS, build_loss


def test_equals_mmdet_on_probabilities():
    from mmdet.models.losses import GaussianFocalLoss as MMDetLoss

    logits, target = torch.randn(2, 3, 8, 8), torch.rand(2, 3, 8, 8).round(decimals=1)
    weight = torch.rand(2, 1, 8, 8)
    for options in ({}, {'pos_weight': 0.25, 'neg_weight': 0.75, 'loss_weight': 2.0, 'alpha': 1.5, 'gamma': 3.0}):
        ours, theirs = GaussianFocalLoss(**options), MMDetLoss(**options)
        averages = [{'avg_factor': 7.0}, {'avg_factor': 0.0}]
        for call in ({}, *averages, {'reduction_override': 'sum'}, {'reduction_override': 'none'}):
            torch.testing.assert_close(
                ours(logits, target, weight, **call),
                theirs(logits.sigmoid(), target, weight=weight.expand_as(target), **call),
                rtol=1e-5,
                atol=1e-6,
            )


def test_options_out_of_range():
    with pytest.raises(ValueError, match=r"reduction must be one of .* but got 'max'"):
        GaussianFocalLoss(reduction='max')
    with pytest.raises(ValueError, match=r"reduction must be one of .* but got 'max'"):
        GaussianFocalLoss()(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), reduction_override='max')
    with pytest.raises(ValueError, match='avg_factor cannot be used'):
        GaussianFocalLoss(reduction='sum')(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), avg_factor=1.0)


def test_unscoped_name_is_ours_under_any_scope(mmdet_scope):
    assert isinstance(build_loss(dict(type='GaussianFocalLoss'), 'loss', HEATMAP_LOSS), GaussianFocalLoss)


def test_unscoped_name_is_mmdets_where_we_have_none():
    from mmdet.models.losses import L1Loss

    assert isinstance(build_loss(dict(type='L1Loss'), 'loss_wh', ELEMENT_LOSS), L1Loss)


@pytest.mark.parametrize('name', ['mmdet.GaussianFocalLoss', 'mmdet.FocalLoss', 'QualityFocalLoss'])
def test_a_loss_of_probabilities_is_refused(name):
    with pytest.raises(TypeError, match=r'loss_center_heatmap: cannot use .*returns logits'):
        build_loss(dict(type=name), 'loss_center_heatmap', HEATMAP_LOSS)
