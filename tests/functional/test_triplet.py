import pytest
import torch

from mmdet_kpheads.functional.distances import find_distance
from mmdet_kpheads.functional.triplet import (
    COLLAPSED,
    Triplets,
    hard_triplets,
    label_pairs,
    semi_hard_triplets,
    triplet_loss,
    triplet_statistics,
)

MINERS = {'hard': hard_triplets, 'semi-hard': semi_hard_triplets}


def slow_hard(distance, labels, margin, tfa_compat):
    losses = []
    for i, row in enumerate(distance):
        positives = [d for j, d in enumerate(row) if j != i and labels[j] == labels[i]]
        negatives = [d for j, d in enumerate(row) if labels[j] != labels[i]]
        if tfa_compat:
            positives, negatives = positives or [min(row)], negatives or [max(row)]
        if positives and negatives:
            losses.append(max(0.0, max(positives) - min(negatives) + margin))
    return sum(losses) / max(1, len(losses))


def slow_semi_hard(distance, labels, margin, tfa_compat):
    losses = []
    for i, row in enumerate(distance):
        negatives = [d for j, d in enumerate(row) if labels[j] != labels[i]]
        if tfa_compat:
            negatives = negatives or [min(row)]
        for j, positive in enumerate(row):
            if j != i and labels[j] == labels[i] and negatives:
                negative = min([d for d in negatives if d > positive], default=max(negatives))
                losses.append(max(0.0, positive - negative + margin))
    return sum(losses) / max(1, len(losses))


SLOW = {'hard': slow_hard, 'semi-hard': slow_semi_hard}
LABELS = {
    'well-formed': [0, 0, 1, 1, 2, 2, 2, 0, 1],
    'some alone': [0, 1, 1, 2, 3, 3, 3, 4, 5],
    'one class': [7] * 9,
    'all different': list(range(9)),
}


@pytest.mark.parametrize('kind', MINERS)
@pytest.mark.parametrize('labels', LABELS.values(), ids=LABELS)
@pytest.mark.parametrize('metric', ['L2', 'squared-L2', 'angular'])
@pytest.mark.parametrize('tfa_compat', [False, True])
@pytest.mark.parametrize('points', ['spread', 'on a grid'])  # the grid has equal points and equal distances
def test_equals_brute_force(kind, labels, metric, tfa_compat, points):
    x = torch.randn(9, 3, dtype=torch.float64)
    distance = find_distance(metric)(x.round() if points == 'on a grid' else x)
    triplets = MINERS[kind](distance, label_pairs(torch.tensor(labels)), None, tfa_compat)
    expected = SLOW[kind](distance.tolist(), labels, 0.5, tfa_compat)
    assert triplet_loss(triplets, 0.5).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('kind', MINERS)
@pytest.mark.parametrize('tfa_compat', [False, True])
@pytest.mark.parametrize('present', [0, 1, 4, 9])
def test_what_is_not_valid_is_as_if_it_were_not_there(kind, tfa_compat, present):
    valid = torch.rand(9).argsort() < present
    labels, x = torch.tensor(LABELS['some alone']), torch.randn(9, 3)
    distance = find_distance('L2')(x)
    kept = distance[valid][:, valid]
    triplets = MINERS[kind](distance, label_pairs(labels, valid), valid, tfa_compat)
    loss = triplet_loss(triplets)
    if present == 0:
        assert loss == 0
        return
    expected = triplet_loss(MINERS[kind](kept, label_pairs(labels[valid]), None, tfa_compat))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize('kind', MINERS)
@pytest.mark.parametrize('tfa_compat', [False, True])
@pytest.mark.parametrize('masked', [False, True])
def test_independent_batches_at_once(kind, tfa_compat, masked):
    x, labels, valid = torch.randn(4, 9, 3), torch.randint(3, (4, 9)), torch.rand(4, 9) > 0.3 * masked
    labels[0], labels[1, 1:] = 1, 2  # one class; one alone

    def mined(x, labels, valid):
        valid = valid if masked else None
        return MINERS[kind](find_distance('L2')(x), label_pairs(labels, valid), valid, tfa_compat)

    together = mined(x, labels, valid)
    for image, single in enumerate(map(mined, x, labels, valid)):
        counts = together.counts[image]
        assert torch.equal(counts, single.counts)
        for found, expected in zip(together[:2], single[:2], strict=True):
            assert torch.equal(found[image][counts], expected[counts])


@pytest.mark.parametrize('kind', MINERS)
def test_sets_without_an_embedding(kind):
    triplets = MINERS[kind](torch.zeros(2, 0, 0), label_pairs(torch.zeros(2, 0)), None, True)
    assert triplets.positive.shape == ((2, 0) if kind == 'hard' else (2, 0, 0)) and triplet_loss(triplets) == 0


def test_an_anchor_without_a_negative_does_not_count_unless_asked_for():
    distance, pairs = find_distance('L2')(torch.randn(3, 2)), label_pairs(torch.tensor([1, 1, 1]))
    assert not semi_hard_triplets(distance, pairs).counts.any() and not hard_triplets(distance, pairs).counts.any()
    assert semi_hard_triplets(distance, pairs, tfa_compat=True).counts.any()


@pytest.mark.parametrize('kind', MINERS)
@pytest.mark.parametrize('metric', ['L2', 'squared-L2', 'angular'])
@pytest.mark.parametrize('soft', [False, True])
def test_gradcheck(kind, metric, soft):
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    pairs = label_pairs(torch.tensor(LABELS['well-formed']))
    assert torch.autograd.gradcheck(lambda x: triplet_loss(MINERS[kind](find_distance(metric)(x), pairs), 0.5, soft), x)


def test_statistics_by_hand():
    """On a line at 0, 1 | 1.5: gaps of the hard triplets are 1 - 1.5 and 1 - 0.5; the third point has no positive."""
    distance = find_distance('L2')(torch.tensor([[0.0], [1.0], [1.5]]))
    pairs = label_pairs(torch.tensor([0, 0, 1]))
    triplets = hard_triplets(distance, pairs)
    values = triplet_statistics(distance, pairs, triplets, margin=0.2)
    assert values == {'active': 0.5, 'positive_distance': 1.0, 'negative_distance': 1.0, 'collapsed': 0.0}


@pytest.mark.parametrize(('spread', 'collapsed'), [(0.0, 1.0), (1e-7, 1.0), (1e-5, 0.0)])
def test_collapse_is_seen(spread, collapsed):
    distance = find_distance('L2')(spread * torch.eye(4))
    for labels in (torch.tensor([0, 0, 1, 1]), torch.arange(4)):
        pairs = label_pairs(labels)
        assert triplet_statistics(distance, pairs, hard_triplets(distance, pairs))['collapsed'] == collapsed


def test_one_embedding_is_no_collapse():
    pairs = label_pairs(torch.tensor([0]))
    values = triplet_statistics(torch.zeros(1, 1), pairs, hard_triplets(torch.zeros(1, 1), pairs))
    assert values == {'active': 0, 'positive_distance': 0, 'negative_distance': 0, 'collapsed': 0}


def test_one_triplet_by_hand_and_what_lies_on_a_bound():
    """Positive 2.5 and negative 3 leave half of the default margin; at 1.5 and 2.5 none is left."""
    counts = torch.tensor([True, False])
    triplets = Triplets(torch.tensor([2.5, 9.0]), torch.tensor([3.0, 0.0]), counts)
    assert triplet_loss(triplets).item() == 0.5 and triplet_loss(triplets, 2.0).item() == 1.5
    pairs = label_pairs(torch.tensor([0, 0, 1]))
    bound = torch.full((3, 3), COLLAPSED)
    statistics = triplet_statistics(bound, pairs, triplets)
    assert statistics == dict(active=1.0, positive_distance=2.5, negative_distance=3.0, collapsed=0.0)
    satisfied = Triplets(torch.tensor([1.5, 9.0]), torch.tensor([2.5, 0.0]), counts)
    statistics = triplet_statistics(bound / 2, pairs, satisfied)
    assert statistics == dict(active=0.0, positive_distance=1.5, negative_distance=2.5, collapsed=1.0)
