import pytest
import torch

from mmdet_kpheads.losses import CornerTripletLoss, TripletHardLoss, TripletSemiHardLoss


@pytest.mark.parametrize('name', ['TripletHardLoss', 'TripletSemiHardLoss', 'mmdet_kpheads.TripletHardLoss'])
def test_well_grouped_corners_cost_nothing_and_mixed_ones_do(name, mmdet_scope):
    loss = CornerTripletLoss(dict(type=name, margin=1.0))
    tags = torch.tensor([0.0, 0.0, 1.5, 1.5, 3.0, 3.0]).view(1, 3, 2, 1)
    assert loss(tags, torch.ones(1, 3)) == {'group': 0}
    assert loss(tags.flip(1).roll(1, dims=1).reshape(1, 2, 3, 1).transpose(1, 2), torch.ones(1, 3))['group'] > 0


def test_by_hand():
    """Two objects at 0, 0.2 and 0.5, 0.9. Hard gaps + 1: 0.2 - 0.5, 0.2 - 0.3, 0.4 - 0.3, 0.4 - 0.7, mean 0.85."""
    tags = torch.tensor([[[[0.0], [0.2]], [[0.5], [0.9]]]])
    torch.testing.assert_close(CornerTripletLoss()(tags, torch.ones(1, 2))['group'], torch.tensor(0.85))


@pytest.mark.parametrize('kind', [TripletHardLoss, TripletSemiHardLoss])
@pytest.mark.parametrize('keypoints', [2, 4])
@pytest.mark.parametrize('channels', [1, 3])
def test_equals_one_call_per_image(kind, keypoints, channels):
    tags, mask = torch.randn(3, 6, keypoints, channels), torch.rand(3, 6) > 0.3
    triplet = kind()
    total = anchors = 0
    for image, valid in zip(tags, mask, strict=True):
        objects = image[valid]
        labels = torch.arange(len(objects)).repeat_interleave(keypoints)
        total += triplet(objects.flatten(0, 1), labels) * len(labels)
        anchors += len(labels)
    grouped = CornerTripletLoss(dict(type=kind.__name__))(tags, mask)['group']
    torch.testing.assert_close(grouped, total / anchors)


@pytest.mark.parametrize('objects', [0, 1, 4])
@pytest.mark.parametrize('junk', [0.0, torch.inf, torch.nan])
def test_no_object_or_one_gives_zero_and_a_gradient(objects, junk):
    tags = torch.full((2, objects, 2, 1), junk)
    tags[:, :1] = torch.tensor([0.3, 0.7])[:, None]
    tags.requires_grad_()
    mask = (torch.arange(objects) < 1).expand(2, -1)
    loss = CornerTripletLoss()(tags, mask)['group']
    loss.backward()
    assert loss == 0
    assert (tags.grad == 0).all()


def test_a_loss_that_cannot_be_called_so_is_refused(mmdet_scope):
    with pytest.raises(TypeError, match='triplet: cannot use TripletLoss'):
        CornerTripletLoss(dict(type='TripletLoss'))


def test_shapes():
    with pytest.raises(ValueError, match=r'but got \(2, 3, 4\) and \(2, 3\)'):
        CornerTripletLoss()(torch.zeros(2, 3, 4), torch.ones(2, 3))
