"""The Triton kernels against their formulas, in Triton's interpreter; ``test_fused_ops.py`` runs this in a process."""

import pytest
import torch

from mmdet_kpheads.functional.gaussian import Gaussians
from mmdet_kpheads.functional.gaussian_focal import gaussian_focal_sum
from mmdet_kpheads.kernels import fused_ops
from mmdet_kpheads.ops.soft_nms import METHODS, soft_nms_batch

POWERS = ((2.0, 4.0, 1.0, 1.0), (1.5, 3.0, 0.7, 2.0), (2.0, 0.0, 1.0, 1.0))


def gaussians(images=2, classes=3, height=40, width=33, boxes=7, radius=6, seed=0):
    """Random boxes, some not valid, some at the border; a map of more than one run of cells."""
    torch.manual_seed(seed)
    cells = torch.stack((torch.randint(width, (images, boxes)), torch.randint(height, (images, boxes))), -1)
    radii, labels = torch.randint(radius, (images, boxes)), torch.randint(classes, (images, boxes))
    valid = torch.rand(images, boxes) > 0.3
    return Gaussians((images, classes, height, width), cells, radii, labels, valid, radius)


def value_and_gradient(formula, logits, *args):
    leaf = logits.detach().requires_grad_()
    total = formula(leaf, *args)
    return total.detach(), torch.autograd.grad(total, leaf)[0]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('powers', POWERS)
@pytest.mark.parametrize('weighted', [False, True])
def test_heat_map_loss(dtype, powers, weighted):
    target = gaussians()
    logits = (torch.randn(target.shape) * 8).to(dtype)
    weight = (torch.rand(2, 1, 40, 33) > 0.5).float() if weighted else None
    arguments = logits, target, weight, *powers, torch.tensor(0.3)
    (found, slope), (expected, right) = (
        value_and_gradient(formula, *arguments) for formula in (fused_ops.gaussian_focal_sum, gaussian_focal_sum)
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert slope.dtype == dtype
    torch.testing.assert_close(slope, right, rtol=1e-2 if dtype != torch.float32 else 1e-5, atol=1e-6)


@pytest.mark.parametrize('logit', [-200.0, -60.0, 60.0, 200.0])
def test_saturated_logits(logit):
    target = gaussians(height=4, width=4)
    logits = torch.full(target.shape, logit)
    pairs = zip(
        value_and_gradient(fused_ops.gaussian_focal_sum, logits, target),
        value_and_gradient(gaussian_focal_sum, logits, target),
        strict=True,
    )
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-30)


def test_small_losses_keep_their_digits():
    """Cells far from every box, with logits where log(1 + exp(x)) needs a series."""
    none = gaussians()._replace(valid=torch.zeros(2, 7, dtype=torch.bool))
    for logit in torch.arange(-14.0, 0.0, 0.5):
        logits = torch.full(none.shape, float(logit))
        exact = value_and_gradient(gaussian_focal_sum, logits.double(), none)
        for found, expected in zip(value_and_gradient(fused_ops.gaussian_focal_sum, logits, none), exact, strict=True):
            torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=0)


def test_a_batch_without_boxes_and_a_map_without_cells():
    none = gaussians()._replace(valid=torch.zeros(2, 7, dtype=torch.bool))
    logits = torch.randn(none.shape)
    for found, expected in zip(
        value_and_gradient(fused_ops.gaussian_focal_sum, logits, none),
        value_and_gradient(gaussian_focal_sum, logits, none),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)
    empty = none._replace(shape=(0, 3, 40, 33), cells=torch.zeros(0, 7, 2, dtype=torch.long))
    empty = empty._replace(radius=empty.cells[..., 0], labels=empty.cells[..., 0], valid=none.valid[:0])
    total, slope = value_and_gradient(fused_ops.gaussian_focal_sum, torch.zeros(0, 3, 40, 33), empty)
    assert total == 0 and slope.shape == (0, 3, 40, 33)


def test_maps_that_do_not_lie_in_order():
    target = gaussians()
    logits = torch.randn(target.shape).to(memory_format=torch.channels_last)
    for found, expected in zip(
        value_and_gradient(fused_ops.gaussian_focal_sum, logits, target),
        value_and_gradient(gaussian_focal_sum, logits, target),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_huge_gaussian_covers_the_map():
    target = gaussians(boxes=1)._replace(radius=torch.full((2, 1), 1000), valid=torch.ones(2, 1, dtype=torch.bool))
    logits = torch.randn(target.shape)
    found = fused_ops.gaussian_focal_sum(logits, target)
    torch.testing.assert_close(found, gaussian_focal_sum(logits, target._replace(max_radius=40)), rtol=1e-5, atol=0)


def detections(images=3, number=20, seed=0):
    """Boxes, of which some are equal, without area, or have no or the same score."""
    torch.manual_seed(seed)
    boxes = torch.rand(images, number, 4) * 50
    boxes[..., 2:] += boxes[..., :2]
    boxes[0, 9] = boxes[0, 10]
    boxes[1, 3:5] = 0
    scores = torch.rand(images, number)
    scores[0, 3], scores[1, 5], scores[0, 7] = -torch.inf, torch.nan, scores[0, 8]
    scores[2] = -torch.inf
    return boxes, scores, torch.randint(2, (images, number))


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('rounds', [1, 12, 100])
def test_soft_nms(method, offset, agnostic, rounds):
    options = {'method': method, 'offset': offset, 'class_agnostic': agnostic, 'min_score': 0.05}
    scores, index = fused_ops.soft_nms_batch(*detections(), rounds, **options)
    expected, right = soft_nms_batch(*detections(), rounds, **options)
    torch.testing.assert_close(scores, expected)
    taken = expected > -torch.inf
    assert torch.equal(index[taken], right[taken])


def test_soft_nms_brings_no_box_back():
    """Duplicates of the best box that are out, as the filler of a decoder is."""
    boxes = torch.tensor([[[0.0, 0.0, 7.3, 3.1]] * 6])
    scores = torch.tensor([[0.9, -torch.inf, -torch.inf, 0.8, -torch.inf, 0.7]])
    for method in METHODS:
        kept, _ = fused_ops.soft_nms_batch(boxes, scores, torch.zeros(1, 6, dtype=torch.long), 6, method=method)
        assert kept.isposinf().sum() == 0 and kept[0, 0] == torch.tensor(0.9)
        torch.testing.assert_close(kept, soft_nms_batch(boxes, scores, torch.zeros(1, 6), 6, method=method)[0])


def test_soft_nms_of_nothing_and_with_wrong_options():
    boxes, scores, labels = detections()
    scores_found, index = fused_ops.soft_nms_batch(boxes[:, :0], scores[:, :0], labels[:, :0], 5)
    assert scores_found.shape == index.shape == (3, 0)
    assert fused_ops.soft_nms_batch(boxes[:0], scores[:0], labels[:0], 5)[0].shape == (0, 5)
    with pytest.raises(ValueError, match=r"method must be one of .* got 'hard'"):
        fused_ops.soft_nms_batch(boxes, scores, labels, 5, method='hard')
