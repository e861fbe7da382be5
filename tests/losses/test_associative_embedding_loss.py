import pytest
import torch

from mmdet_kpheads.functional.embedding import gather_tags
from mmdet_kpheads.losses import AssociativeEmbeddingLoss
from tests.losses.counting import dispatched, profiled

HALF_MAX = 65504.0


def unit_loss(**options):
    return AssociativeEmbeddingLoss(pull_weight=1.0, push_weight=1.0, **options)


def test_worked_example_of_one_map_and_four_keypoints():
    maps = torch.tensor([[[1.0, 2.0], [1.0, 2.0]], [[2.0, 1.0], [2.0, 1.0]]])[:, None]
    cells = torch.tensor([[[0, 0, 2, 2], [1, 1, 3, 3]]]).expand(2, -1, -1)
    tags = gather_tags(maps, cells)
    assert tags[0, :, :, 0].tolist() == [[1, 1, 1, 1], [2, 2, 2, 2]]
    for mask in (torch.ones(2, 2), torch.tensor([[1, 0], [1, 0]])):
        losses = unit_loss()(tags, mask)
        assert losses['pull'] == 0
        assert losses['push'] == 0


def test_worked_example_by_hand():
    """Means 0.1 and 0.7: pull (2 * 0.1^2 + 2 * 0.2^2) / 2 = 0.05, push 1 - 0.6 = 0.4."""
    losses = unit_loss()(torch.tensor([[[[0.0], [0.2]], [[0.5], [0.9]]]]), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(losses['pull'], torch.tensor(0.05))
    torch.testing.assert_close(losses['push'], torch.tensor(0.4))


@pytest.mark.parametrize('batch', [1, 2, 8])
@pytest.mark.parametrize('channels', [1, 4])
@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32])
def test_single_objects_push_exactly_nothing(batch, channels, dtype):
    tags = torch.randn(batch, 3, 2, channels, requires_grad=True)
    mask = torch.tensor([0, 1, 0]).to(dtype).expand(batch, -1)
    losses = unit_loss()(tags, mask)
    assert losses['push'] == 0
    assert losses['pull'] > 0
    losses['push'].backward()
    assert (tags.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32])
def test_any_mask_dtype_gives_the_same(dtype):
    tags = torch.randn(2, 5, 2, 1)
    mask = torch.tensor([[1, 0, 1, 1, 0], [1, 1, 0, 0, 0]])
    assert unit_loss()(tags, mask.to(dtype)) == unit_loss()(tags, mask)


def test_several_channels_are_one_vector():
    """mmdet gives push 1 for one object of two channels, and 1/3 for two objects that are far apart."""
    near = torch.zeros(1, 1, 2, 2)
    far = torch.tensor([0.0, 7.0]).view(1, 2, 1, 1).expand(-1, -1, 2, 2)
    for tags in (near, far):
        assert unit_loss()(tags, torch.ones(tags.shape[:2]))['push'] == 0


@pytest.mark.parametrize('counts', [(0,), (1,), (2,), (9,), (0, 3), (4, 1), (0, 0, 0), (5, 1, 0, 9)])
@pytest.mark.parametrize('weights', [(0.25, 0.25), (0.1, 0.3)])
def test_equals_mmdet_in_value_and_gradient(counts, weights):
    from mmdet.models.losses import AssociativeEmbeddingLoss as MMDetLoss

    batch, size = len(counts), 6
    top_left, bottom_right = torch.randn(2, batch, 1, size, size).unbind()
    cells = torch.randint(size * size, (batch, max(counts), 2))
    mask = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    match = [[[[c // size, c % size] for c in pair] for pair in cells[i, :n].tolist()] for i, n in enumerate(counts)]

    def with_gradients(compute):
        maps = [m.clone().requires_grad_() for m in (top_left, bottom_right)]
        pull, push = compute(maps)
        return pull, push, *torch.autograd.grad(2 * pull + 3 * push, maps, allow_unused=True, materialize_grads=True)

    ours = with_gradients(lambda maps: AssociativeEmbeddingLoss(*weights)(gather_tags(maps, cells), mask).values())
    theirs = with_gradients(lambda maps: MMDetLoss(*weights)(*maps, match))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_image_mean_does_not_depend_on_copies_or_empty_images():
    tags, mask = torch.randn(1, 4, 2, 3), torch.tensor([[1, 1, 0, 1]])
    one = unit_loss(reduction='image_mean')(tags, mask)
    copies, exists = tags.repeat(5, 1, 1, 1), torch.tensor([1, 1, 0, 1, 0])[:, None]
    torch.testing.assert_close(unit_loss(reduction='image_mean')(copies, mask * exists), one)
    summed = unit_loss()(copies, mask.repeat(5, 1))
    torch.testing.assert_close({name: 5 * loss for name, loss in one.items()}, summed)


@pytest.mark.parametrize('reduction', ['sum', 'image_mean'])
@pytest.mark.parametrize('distance', ['l1', 'l2'])
@pytest.mark.parametrize('objects', [0, 3])
def test_without_objects_it_is_zero_and_tags_get_a_gradient(reduction, distance, objects):
    tags = torch.randn(2, objects, 2, 4, requires_grad=True)
    losses = unit_loss(reduction=reduction, distance=distance)(tags, torch.zeros(2, objects))
    sum(losses.values()).backward()
    assert losses == {'pull': 0, 'push': 0}
    assert (tags.grad == 0).all()


def test_order_of_objects_does_not_matter():
    tags, mask = torch.randn(2, 20, 2, 3), torch.rand(2, 20) > 0.4
    order = torch.randperm(20)
    torch.testing.assert_close(unit_loss()(tags, mask), unit_loss()(tags[:, order], mask[:, order]))


@pytest.mark.parametrize('distance', ['l1', 'l2'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('channels', [1, 3])
def test_value_and_gradient_are_finite(distance, dtype, channels):
    extremes = torch.tensor([[HALF_MAX, -HALF_MAX], [-HALF_MAX, -HALF_MAX], [0, 0], [0, 0], [1e-7, 0], [1, 1]])
    for picked in ([0, 1], [0], [0, 0], [2, 3], [2, 3, 4], [0, 1, 2, 3, 4, 5]):
        tags = extremes[picked].to(dtype)[None, :, :, None].repeat(2, 1, 1, channels).requires_grad_()
        losses = AssociativeEmbeddingLoss(distance=distance)(tags, torch.ones(2, len(picked)))
        sum(losses.values()).backward()
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
        assert tags.grad.isfinite().all()


def test_autocast_changes_nothing():
    tags, mask = torch.randn(2, 30, 2, 4), torch.ones(2, 30)
    plain = unit_loss(distance='l2')(tags, mask)
    with torch.autocast('cpu', torch.bfloat16):
        assert unit_loss(distance='l2')(tags, mask) == plain


@pytest.mark.parametrize('junk', [torch.inf, -torch.inf, torch.nan])
def test_what_is_masked_out_does_no_harm(junk):
    tags = torch.randn(1, 3, 2, 2)
    tags[0, 1] = junk
    tags.requires_grad_()
    mask = torch.tensor([[1, 0, 1]])
    losses = unit_loss(distance='l2')(tags, mask)
    sum(losses.values()).backward()
    assert losses == unit_loss(distance='l2')(tags[:, [0, 2]], mask[:, [0, 2]])
    assert tags.grad is not None
    assert (tags.grad[0, 1] == 0).all()
    assert tags.grad.isfinite().all()


def run(objects):
    loss, maps = AssociativeEmbeddingLoss(), torch.randn(2, 1, 16, 16, requires_grad=True)
    cells, mask = torch.randint(256, (2, objects, 2)), torch.ones(2, objects)
    sum(loss(gather_tags(maps, cells), mask).values()).backward()


def test_number_of_ops_does_not_depend_on_the_number_of_objects():
    assert dispatched(lambda: run(2)) == dispatched(lambda: run(10)) == dispatched(lambda: run(600))
    assert dispatched(lambda: run(1)) <= dispatched(lambda: run(2))  # torch copies no single number


def test_number_of_profiled_ops_does_not_depend_on_the_number_of_objects_and_there_is_no_sync():
    assert profiled(lambda: run(10)) == profiled(lambda: run(100))


def test_build_from_config(mmdet_scope):
    from mmdet.registry import MODELS

    loss = MODELS.build(dict(type='mmdet_kpheads.AssociativeEmbeddingLoss', pull_weight=0.1, push_weight=0.1))
    assert isinstance(loss, AssociativeEmbeddingLoss)


def test_wrong_options_and_shapes():
    with pytest.raises(ValueError, match=r"distance must be one of .* but got 'L2'"):
        AssociativeEmbeddingLoss(distance='L2')
    with pytest.raises(ValueError, match=r"reduction must be one of .* but got 'mean'"):
        AssociativeEmbeddingLoss(reduction='mean')
    with pytest.raises(ValueError, match=r'but got \(2, 3, 1\) and \(2, 3\)'):
        AssociativeEmbeddingLoss()(torch.zeros(2, 3, 1), torch.ones(2, 3))
    with pytest.raises(ValueError, match=r'but got \(2, 3, 2, 1\) and \(3, 2\)'):
        AssociativeEmbeddingLoss()(torch.zeros(2, 3, 2, 1), torch.ones(3, 2))
