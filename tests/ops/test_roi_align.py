import pytest
import torch

from mmdet_kpheads.ops import roi_align

from . import reference


def scene():
    x = torch.randn(2, 3, 9, 7)
    corner = torch.rand(12, 2) * 30 - 8
    rois = torch.cat([torch.arange(12.0)[:, None] % 2, corner, corner + torch.rand(12, 2) * 30], 1)
    return x, rois


def test_two_bins_by_hand():
    """Each feature is its column index. A box over columns 1 to 5 (cell centers at halves) has two bins.

    The bins are [1, 3] and [3, 5]; their centers 2 and 4 have features 1.5 and 3.5. Max takes the samples at 2.5
    and 4.5, features 2 and 4.
    """
    x = torch.arange(6.0).expand(1, 1, 6, 6)
    roi = torch.tensor([[0.0, 1, 1, 5, 5]])
    assert roi_align(x, roi, (1, 2)).flatten().tolist() == [1.5, 3.5]
    assert roi_align(x, roi, (1, 2), pool_mode='max').flatten().tolist() == [2.0, 4.0]
    assert roi_align(x, roi * 4, (1, 2), 0.25).flatten().tolist() == [1.5, 3.5]
    assert roi_align(x, roi, (1, 2), aligned=False).flatten().tolist() == [2.0, 4.0]


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('ratio', [0, 1, 3])
@pytest.mark.parametrize('aligned', [True, False])
def test_equals_reference(mode, ratio, aligned):
    x, rois = scene()
    out = roi_align(x, rois, (3, 2), 0.3, ratio, mode, aligned)
    expected = reference.roi_align(x, rois, (3, 2), 0.3, ratio, mode, aligned)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_gradient(mode):
    x, rois = scene()
    x = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: roi_align(t, rois, (2, 2), 0.3, 0, mode), (x,), fast_mode=True)


def test_gradient_of_a_sample_near_and_beyond_the_sides_by_hand():
    """One bin with one sample: up to one cell outside it moves onto the border, beyond that nothing has a gradient."""
    for x_px, expected in (
        (-1.5, [0, 0, 0]),
        (-0.5, [1, 0, 0]),
        (0.25, [0.75, 0.25, 0]),
        (2.9, [0, 0, 1]),
        (3.5, [0, 0, 0]),
    ):
        x = torch.rand(1, 1, 1, 3, requires_grad=True)
        roi = torch.tensor([[0.0, x_px, 0.0, x_px + 1, 1.0]])  # aligned: its center is the sample at x_px
        roi_align(x, roi, (1, 1), sampling_ratio=1).sum().backward()
        assert x.grad is not None and x.grad.flatten().tolist() == pytest.approx(expected), x_px


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_boxes_without_samples_are_zero(mode):
    """Zero size, reversed, NaN and far outside."""
    x = torch.ones(1, 1, 4, 4)
    nan = torch.nan
    rois = torch.tensor([[0.0, 2, 2, 2, 2], [0, 3, 3, 1, 1], [0, nan, nan, nan, nan], [0, 90, 90, 99, 99]])
    out = roi_align(x, rois, (2, 2), pool_mode=mode)
    assert out.shape == (4, 1, 2, 2)
    assert out.abs().max() == 0


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize(
    ('shape', 'boxes'), [((1, 3, 4, 4), 0), ((0, 3, 4, 4), 0), ((1, 3, 0, 4), 2), ((1, 3, 4, 0), 2)]
)
def test_no_boxes_no_images_no_cells(mode, shape, boxes):
    x = torch.randn(shape, requires_grad=True)
    out = roi_align(x, torch.zeros(boxes, 5), (2, 3), pool_mode=mode)
    assert out.shape == (boxes, 3, 2, 3)
    assert not out.any()
    assert not torch.autograd.grad(out.sum(), x)[0].any()


@pytest.mark.parametrize('far', [1e4, 1e30, torch.inf])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_a_huge_box_is_clamped_to_one_map_around_the_map(mode, far):
    """Of a 4 x 4 map: from -6 to 10 cells, whatever it was; the number of adaptive samples stays small."""
    x = torch.rand(1, 1, 4, 4)
    huge = torch.tensor([[0.0, -far, -far, far, far]])
    clamped = torch.tensor([[0.0, -6, -6, 10, 10]])
    assert torch.equal(*(roi_align(x, rois, (2, 2), pool_mode=mode) for rois in (huge, clamped)))


@pytest.mark.parametrize('image', [2.0, -1.0, 1e30, torch.nan])
def test_a_box_of_no_image_is_an_error(image):
    with pytest.raises(ValueError, match=r'image index must be in \[0, 2\), got'):
        roi_align(torch.ones(2, 1, 4, 4), torch.tensor([[0.0, 1, 1, 2, 2], [image, 1, 1, 2, 2]]), (2, 2))


def test_half_precision():
    x, rois = scene()
    out = roi_align(x.half(), rois.half(), (2, 2), 0.3)
    assert out.dtype == torch.float16
    assert torch.equal(out, roi_align(x.half().float(), rois.half().float(), (2, 2), 0.3).half())


def test_errors():
    x, rois = scene()
    with pytest.raises(ValueError, match=r'x must have shape \(B, C, H, W\)'):
        roi_align(x[0], rois, (2, 2))
    with pytest.raises(ValueError, match=r'rois must have shape \(K, 5\).*got \(12, 4\)'):
        roi_align(x, rois[:, 1:], (2, 2))
    with pytest.raises(ValueError, match="pool_mode must be 'avg' or 'max', got 'sum'"):
        roi_align(x, rois, (2, 2), pool_mode='sum')
