import subprocess
import sys

import pytest
import torch

from mmdet_kpheads.losses import TripletHardLoss, TripletSemiHardLoss
from tests.losses.counting import dispatched, profiled

LOSSES = [TripletHardLoss, TripletSemiHardLoss]
METRICS = ['L2', 'squared-L2', 'angular']
HALF_MAX = 65504.0
PAIR = torch.tensor([[0.0, 1.0], [1.0, 0.0]])


def product(x):
    return x @ x.T


@pytest.mark.parametrize(
    ('kind', 'distance', 'published'),
    [
        (TripletSemiHardLoss, 'L2', 2.4142137),
        (TripletHardLoss, 'L2', 1.0),
        (TripletSemiHardLoss, product, 1.0),
        (TripletHardLoss, product, 0.0),
    ],
)
def test_published_values_of_tensorflow_addons(kind, distance, published):
    """Two embeddings of one label: no negative, so they rest on what the reference fills in."""
    labels = torch.tensor([0, 0])
    compatible = kind(distance=distance, tfa_compat=True)(PAIR, labels)
    torch.testing.assert_close(compatible, torch.tensor(published), rtol=1e-6, atol=0)
    assert kind(distance=distance)(PAIR, labels) == 0


@pytest.mark.parametrize(
    ('kind', 'metric', 'expected'),
    [
        (TripletHardLoss, 'L2', (0 + 1 + 2 + 0) / 4),
        (TripletHardLoss, 'squared-L2', (0 + 1 + 4 + 0) / 4),
        (TripletSemiHardLoss, 'L2', (0 + 0 + 1 + 0) / 4),
        (TripletSemiHardLoss, 'squared-L2', (0 + 0 + 1 + 0) / 4),
    ],
)
def test_by_hand(kind, metric, expected):
    """On a line 0, 1 | 2, 4 with margin 1; distances of the positive and of both negatives, anchor by anchor:

    1 (2, 4);  1 (1, 3);  2 (2, 1);  2 (4, 3). Hard takes the nearest: 2, 1, 1, 3. Semi-hard the nearest that is farther
    than the positive: 2, 3, none, so the farthest, 2, and 3.
    """
    x = torch.tensor([[0.0], [1.0], [2.0], [4.0]])
    assert kind(distance=metric)(x, torch.tensor([0, 0, 1, 1])).item() == pytest.approx(expected)


@pytest.mark.parametrize('batch', [8, 64])
@pytest.mark.parametrize('channels', [2, 128])
def test_hard_equals_mmdet_in_value_and_gradient(batch, channels):
    from mmdet.models.losses import TripletLoss

    x, labels = torch.randn(batch, channels), torch.arange(batch) // 4
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    loss = TripletHardLoss(margin=0.3, loss_weight=2.0)(ours, labels)
    expected = TripletLoss(loss_weight=2.0)(theirs, labels)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)


BATCHES = {
    'duplicates': ([1.0, 1.0, 2.0, 2.0], [0, 1, 0, 1]),
    'collapsed': ([1.0] * 4, [0, 0, 1, 1]),
    'at the origin': ([0.0] * 4, [0, 0, 1, 1]),
    'one class': ([1.0, 2.0, 3.0, 4.0], [0] * 4),
    'all different': ([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 3]),
    'one': ([1.0], [0]),
    'none': ([], []),
    'large': ([HALF_MAX, HALF_MAX, -HALF_MAX, 0.0], [0, 1, 0, 1]),
    'tiny': ([1e-7, -1e-7, 0.0, 2e-7], [0, 1, 0, 1]),
}


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('name', BATCHES)
@pytest.mark.parametrize('options', [{}, {'tfa_compat': True}, {'soft': True}])
def test_never_nan(kind, metric, dtype, name, options):
    if kind is TripletSemiHardLoss and 'soft' in options:
        return
    values, labels = BATCHES[name]
    x = torch.tensor(values, dtype=dtype)[:, None].repeat(1, 30).requires_grad_()
    loss = kind(distance=metric, **options)(x, torch.tensor(labels, dtype=torch.int64))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    if metric == 'squared-L2' and name == 'large' and dtype == torch.float16:
        assert not x.grad.isnan().any()  # the gradient is 2 * distance, which float16 cannot hold
    else:
        assert x.grad.isfinite().all()
    if not options and name in ('one class', 'all different', 'one', 'none'):
        assert loss == 0
        assert (x.grad == 0).all()


def test_soft_is_softplus():
    """One anchor pair 0, 1 and a negative at 3: gaps 1 - 3 and 1 - 2."""
    loss = TripletHardLoss(soft=True)(torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1]))
    expected = (1 + torch.tensor([-2.0, -1.0]).exp()).log().mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize('kind', LOSSES)
def test_labels_may_be_a_column_and_of_any_integer_kind(kind):
    x, labels = torch.randn(12, 4), torch.arange(12) % 4
    expected = kind()(x, labels)
    assert kind()(x, labels[:, None]) == kind()(x, labels.to(torch.int32)) == kind()(x, labels - 7) == expected


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('shape', [(12, 4), (1, 12), (11,), ()])
def test_one_hot_and_other_shapes_are_refused(kind, shape):
    with pytest.raises(ValueError, match=r'targets must be labels of shape .* one-hot targets: pass targets.argmax'):
        kind()(torch.randn(12, 4), torch.zeros(shape))


def test_wrong_distances_are_refused():
    with pytest.raises(ValueError, match=r"distance must be one of .* but got 'cosine'"):
        TripletHardLoss(distance='cosine')
    with pytest.raises(ValueError, match=r'one number for each of \(12,\) x 12 pairs, but returned \(12, 4\)'):
        TripletHardLoss(distance=lambda x: x)(torch.randn(12, 4), torch.zeros(12))


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('distance', [*METRICS, product])
def test_autocast_changes_nothing(kind, distance):
    x, labels = torch.randn(12, 4), torch.arange(12) % 4
    plain = kind(distance=distance)(x, labels)
    with torch.autocast('cpu', torch.bfloat16):
        assert kind(distance=distance)(x, labels) == plain


@pytest.mark.parametrize('kind', LOSSES)
def test_order_does_not_matter(kind):
    x, labels, order = torch.randn(40, 4), torch.arange(40) % 7, torch.randperm(40)
    torch.testing.assert_close(kind()(x, labels), kind()(x[order], labels[order]))


@pytest.mark.parametrize('kind', LOSSES)
@pytest.mark.parametrize('tfa_compat', [False, True])
@pytest.mark.parametrize('labels', [[0, 0, 1, 1, 2, 0], [0, 0, 0, 0, 0, 1]])
def test_embeddings_that_do_not_exist_change_nothing(kind, tfa_compat, labels):
    """The last two do not exist. In the second batch the others have no negative, which tfa_compat fills in."""
    x, labels, valid = torch.randn(6, 3) + 5, torch.tensor(labels), torch.arange(6) < 4
    loss = kind(tfa_compat=tfa_compat)
    torch.testing.assert_close(loss(x, labels, valid), loss(x[:4], labels[:4]))


@pytest.mark.parametrize('kind', LOSSES)
def test_statistics_follow_each_call(kind):
    loss = kind(margin=0.5)
    assert loss.statistics == {}
    value = loss(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]))
    assert value == 0.5
    assert loss.statistics == {'active': 1, 'positive_distance': 0, 'negative_distance': 0, 'collapsed': 1}
    loss(torch.tensor([[0.0], [0.0], [0.75], [0.75]]), torch.tensor([0, 0, 1, 1]))
    assert loss.statistics == {'active': 0, 'positive_distance': 0, 'negative_distance': 0.75, 'collapsed': 0}
    loss(torch.zeros(0, 2), torch.zeros(0))
    assert loss.statistics == dict.fromkeys(loss.statistics, 0)


@pytest.mark.parametrize('kind', LOSSES)
def test_no_sync_and_the_same_ops_for_any_batch(kind):
    def step(batch):
        kind()(torch.randn(batch, 4, requires_grad=True), torch.arange(batch) // 2).backward()

    assert profiled(lambda: step(4)) == profiled(lambda: step(40))
    assert dispatched(lambda: step(4)) == dispatched(lambda: step(200))


@pytest.mark.parametrize('kind', LOSSES)
def test_built_from_config_in_the_place_of_mmdets(kind, mmdet_scope):
    from mmdet.registry import MODELS

    loss = MODELS.build(dict(type=f'mmdet_kpheads.{kind.__name__}', margin=0.3, loss_weight=0.5))
    x = torch.randn(8, 4, requires_grad=True)
    loss(x, torch.arange(8) // 2).backward()
    assert x.grad.abs().sum() > 0


MEMORY_SCRIPT = """
import resource, torch
from mmdet_kpheads import losses
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = torch.randn(4096, 32, requires_grad=True)
losses.TripletSemiHardLoss()(x, torch.arange(4096) // 4).backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20)
"""


@pytest.mark.slow
def test_semi_hard_of_4096_stays_under_2_gib():
    result = subprocess.run([sys.executable, '-c', MEMORY_SCRIPT], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 2
