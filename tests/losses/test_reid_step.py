"""A small re-identification model as mmdet's: embedding, classifier, and the triplet loss from its config."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import nn


class ReIDModel(nn.Module):
    """What mmdet's LinearReIDHead does with its losses, without mmpretrain, which that head imports."""

    def __init__(self, loss_triplet, identities=4):
        super().__init__()
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.BatchNorm1d(16))
        self.classify = nn.Linear(16, identities)
        self.loss_triplet = MODELS.build(loss_triplet)

    def forward(self, images, labels):
        features = self.embed(images)
        return {
            'triplet_loss': self.loss_triplet(features, labels),
            'ce_loss': F.cross_entropy(self.classify(features), labels),
        }


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='mmdet_kpheads.TripletHardLoss', margin=0.3),
        dict(type='mmdet_kpheads.TripletSemiHardLoss', margin=0.3, loss_weight=0.5),
        dict(type='mmdet_kpheads.TripletHardLoss', soft=True, distance='squared-L2'),
    ],
)
def test_training_steps_lower_both_losses(mmdet_scope, loss):
    model = ReIDModel(loss)
    identity = torch.randn(4, 3, 8, 8)
    labels = torch.arange(4).repeat_interleave(4)
    images = identity[labels] + 1.5 * torch.randn(16, 3, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    curve = []
    for _ in range(10):
        losses = model(images, labels)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
        optimizer.step()
        curve.append({name: float(value.detach()) for name, value in losses.items()})
    assert curve[-1]['ce_loss'] < curve[0]['ce_loss']
    assert curve[-1]['triplet_loss'] < curve[0]['triplet_loss']
