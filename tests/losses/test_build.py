"""How losses are built, refused, and divided."""

import pytest
import torch
from mmdet.models.losses import GIoULoss as MmdetGIoULoss
from torch import nn

from mmdet_kpheads.losses import AssociativeEmbeddingLoss, GaussianFocalLoss, GIoULoss, normalizer
from mmdet_kpheads.losses.build import BOX_LOSS, ELEMENT_LOSS, GROUPING_LOSS, HEATMAP_LOSS, TRIPLET_LOSS, build_loss


def test_names_mean_ours_then_mmdets_and_classes_of_mmdet_mean_ours_too():
    assert type(build_loss(dict(type='GIoULoss'), 'loss_bbox', BOX_LOSS)) is GIoULoss
    assert type(build_loss(dict(type=MmdetGIoULoss), 'loss_bbox', BOX_LOSS)) is GIoULoss
    assert type(build_loss(dict(type='mmdet.GIoULoss'), 'loss_bbox', BOX_LOSS)) is MmdetGIoULoss
    assert type(build_loss(dict(type='IoULoss'), 'loss_bbox', BOX_LOSS)).__module__.startswith('mmdet.')
    with pytest.raises(KeyError, match='NoLoss'):
        build_loss(dict(type='NoLoss'), 'loss_bbox', BOX_LOSS)


def test_the_backend_is_given_to_ours_unless_the_config_sets_one():
    for cfg, expected in (
        (dict(type='GaussianFocalLoss'), 'reference'),
        (dict(type=GaussianFocalLoss, backend='cpu'), 'cpu'),
    ):
        assert build_loss(cfg, 'loss_heatmap', HEATMAP_LOSS, 'reference').backend == expected
    assert build_loss(dict(type='AssociativeEmbeddingLoss'), 'loss_embedding', GROUPING_LOSS).backend == 'auto'
    assert isinstance(build_loss(dict(type=AssociativeEmbeddingLoss), 'loss_embedding', GROUPING_LOSS), nn.Module)
    build_loss(dict(type='L1Loss'), 'loss_wh', ELEMENT_LOSS, 'reference')  # mmdet's takes none


class ThreeArguments(nn.Module):
    def forward(self, embeddings, labels, valid):
        return embeddings


class NoKeywords(nn.Module):
    def forward(self, pred, target):
        return pred - target


def test_the_weight_of_a_loss_is_checked_under_the_name_of_its_argument():
    for weight in ('pull_weight', 'push_weight'):
        with pytest.raises(ValueError, match=rf'loss_x\.{weight} must be a finite number, 0 or more, but is -1'):
            build_loss({'type': 'AssociativeEmbeddingLoss', weight: -1}, 'loss_x', GROUPING_LOSS)


@pytest.mark.parametrize(
    ('kind', 'protocol', 'text'),
    [
        ('mmdet.GaussianFocalLoss', HEATMAP_LOSS, 'loss_x: cannot use GaussianFocalLoss: it takes probabilities'),
        ('L1Loss', BOX_LOSS, 'loss_x: cannot use L1Loss: it must return one value per box: use an IoU loss'),
        ('GIoULoss', ELEMENT_LOSS, 'loss_x: cannot use GIoULoss: it must return one value per number: use an L1 loss'),
        ('mmdet.GIoULoss', ELEMENT_LOSS, 'one value per number: use an L1 loss'),
        (ThreeArguments, GROUPING_LOSS, r"missing a required argument: 'valid'; it is called as loss\(tags, mask\)"),
        ('L1Loss', TRIPLET_LOSS, None),
        (NoKeywords, BOX_LOSS, "got an unexpected keyword argument 'reduction_override'"),
        (ThreeArguments, BOX_LOSS, r'it is called as loss\(pred, target, reduction_override=\.\.\.\)'),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(kind, protocol, text):
    if text is None:
        build_loss(dict(type=kind), 'loss_x', protocol)
        return
    with pytest.raises(TypeError, match=text):
        build_loss(dict(type=kind), 'loss_x', protocol)


def test_the_divisor_of_one_process_and_of_two(monkeypatch):
    count = torch.tensor([0.0, 0.5, 3.0], requires_grad=True)
    assert normalizer.normalizer(count).tolist() == [1, 1, 3] and not normalizer.normalizer(count).requires_grad

    def all_reduce(total, op):
        assert op == 'sum'
        total.add_(torch.tensor([0.0, 0.0, 4.0]))

    monkeypatch.setattr(normalizer, 'get_world_size', lambda: 2)
    monkeypatch.setattr(normalizer, 'all_reduce', all_reduce)
    assert normalizer.normalizer(count).tolist() == [0.5, 0.5, 3.5]
    assert count.tolist() == [0.0, 0.5, 3.0]  # the argument is not changed
