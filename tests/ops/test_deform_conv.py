import pytest
import torch
import torch.nn.functional as F

from mmdet_kpheads.ops import deform_conv2d

from . import reference


def inputs(groups=1, deform_groups=1, out_size=(4, 5), spread=3.0, dtype=torch.float32):
    def normal(*shape):
        return torch.randn(*shape, dtype=dtype)

    x, weight = normal(2, 4, 4, 5), normal(4, 4 // groups, 3, 3)
    offset = normal(2, deform_groups * 18, *out_size) * spread
    return x, offset, weight, torch.rand(2, deform_groups * 9, *out_size, dtype=dtype)


def test_quarter_cell_shift_by_hand():
    """A 1 x 1 kernel of weight 2 on the row 10, 20, 30, shifted by a quarter cell to the right.

    Between cells 0 and 1: 10 + 0.25 * 10 = 12.5; then 22.5; past the last cell 0.75 * 30 = 22.5.
    """
    x = torch.tensor([10.0, 20, 30]).view(1, 1, 1, 3)
    offset = torch.tensor([0.0, 0.25]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    weight = torch.full((1, 1, 1, 1), 2.0)
    out = deform_conv2d(x, offset, weight)
    assert out.flatten().tolist() == [25.0, 45.0, 45.0]
    half = deform_conv2d(x, offset, weight, torch.full((1, 1, 1, 3), 0.5), torch.ones(1))
    assert half.flatten().tolist() == [13.5, 23.5, 23.5]


@pytest.mark.parametrize('groups', [1, 2, 4])
@pytest.mark.parametrize('geometry', [((1, 1), (1, 1), (1, 1)), ((2, 1), (1, 2), (2, 1))])
def test_zero_offset_equals_convolution(groups, geometry):
    x, _, weight, _ = inputs(groups)
    bias = torch.randn(4)
    stride, padding, dilation = geometry
    expected = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    offset = torch.zeros(2, 18, *expected.shape[2:])
    out = deform_conv2d(x, offset, weight, None, bias, stride, padding, dilation)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('groups', 'deform_groups'), [(1, 1), (2, 1), (1, 2), (2, 4)])
@pytest.mark.parametrize('version', [1, 2])
def test_equals_reference(groups, deform_groups, version):
    x, offset, weight, mask = inputs(groups, deform_groups)
    factor = mask if version == 2 else None
    out = deform_conv2d(x, offset, weight, factor, padding=1)
    expected = reference.deform_conv(x, offset, weight, factor, padding=(1, 1))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('channels', 'filters'), [(4, 8), (8, 4)])
def test_both_orders_of_sampling_and_product_equal_reference(channels, filters):
    """More filters than channels: sampled first. Fewer: multiplied first."""
    x, offset, mask = torch.randn(2, channels, 4, 5), torch.randn(2, 18, 4, 5) * 2, torch.rand(2, 9, 4, 5)
    weight = torch.randn(filters, channels, 3, 3)
    out = deform_conv2d(x, offset, weight, mask, padding=1)
    expected = reference.deform_conv(x, offset, weight, mask, padding=(1, 1))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_equals_reference_with_stride_and_dilation():
    x, offset, weight, mask = inputs(2, 2, out_size=(2, 5))
    out = deform_conv2d(x, offset, weight, mask, None, (2, 1), (1, 2), (1, 2))
    expected = reference.deform_conv(x, offset, weight, mask, (2, 1), (1, 2), (1, 2))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('kernel', [(1, 3), (3, 1), (2, 3), (4, 2)])
def test_kernels_that_are_not_square_equal_the_reference_and_convolution(kernel):
    taps, size = kernel[0] * kernel[1], (5 - kernel[0], 6 - kernel[1])
    x, weight = torch.randn(2, 4, 4, 5), torch.randn(6, 2, *kernel)
    offset, mask = torch.randn(2, 2 * 2 * taps, *size) * 2, torch.rand(2, 2 * taps, *size)
    expected = reference.deform_conv(x, offset, weight, mask)
    torch.testing.assert_close(deform_conv2d(x, offset, weight, mask), expected, rtol=1e-4, atol=1e-5)
    plain = F.conv2d(x, weight, groups=2)
    torch.testing.assert_close(deform_conv2d(x, torch.zeros_like(offset), weight), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('groups', 'deform_groups'), [(1, 1), (2, 2)])
def test_gradients(groups, deform_groups):
    tensors = [t.requires_grad_() for t in inputs(groups, deform_groups, spread=0.7, dtype=torch.float64)]
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def convolve(x, offset, weight, mask, bias):
        return deform_conv2d(x, offset, weight, mask, bias, padding=1)

    assert torch.autograd.gradcheck(convolve, (*tensors, bias), fast_mode=True)


def test_gradient_at_whole_cells_is_the_right_hand_one():
    """At cell 1 of 10, 20, 50 the value grows by 30 per cell to the right (and by 10 on the left)."""
    x = torch.tensor([10.0, 20, 50]).view(1, 1, 1, 3)
    offset = torch.zeros(1, 2, 1, 3, requires_grad=True)
    deform_conv2d(x, offset, torch.ones(1, 1, 1, 1)).sum().backward()
    assert offset.grad is not None
    assert offset.grad[0, 1, 0].tolist() == [10.0, 30.0, -50.0]  # right of the last cell is the zero outside


@pytest.mark.parametrize('far', [-1.0, 3.0, 1e30, -torch.inf, torch.nan])
def test_samples_outside_have_no_value_and_no_gradient(far):
    """From cell 0 of 3, offsets -1 and 3 end just outside."""
    x = torch.ones(1, 1, 1, 3)
    offset = torch.tensor([0.0, far]).view(1, 2, 1, 1).repeat(1, 1, 1, 3)[..., :1]
    offset = torch.cat([offset, torch.zeros(1, 2, 1, 2)], 3).requires_grad_()
    out = deform_conv2d(x, offset, torch.ones(1, 1, 1, 1))
    out.sum().backward()
    assert out.flatten().tolist() == [0.0, 1.0, 1.0]
    assert offset.grad is not None
    assert offset.grad[..., 0].abs().max() == 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_samples_and_sums_in_float32(dtype):
    x, offset, weight, mask = (t.to(dtype) for t in inputs())
    out = deform_conv2d(x * 200, offset, weight, mask, padding=1)
    with torch.autocast('cpu', torch.bfloat16):
        again = deform_conv2d(x * 200, offset, weight, mask, padding=1)
    full = deform_conv2d((x * 200).float(), offset.float(), weight.float(), mask.float(), padding=1)
    assert out.dtype == dtype
    if dtype == torch.float16:
        assert torch.equal(out, full.to(dtype))
    else:  # sampled in float32; a product of bfloat16 values, summed in float32
        assert (out - full).abs().max() < 2**-8 * full.abs().max()
    assert torch.equal(again, out)


def test_empty_batch():
    _, offset, weight, mask = inputs()
    assert deform_conv2d(torch.zeros(0, 4, 4, 5), offset[:0], weight, mask[:0], padding=1).shape == (
        0,
        4,
        4,
        5,
    )


def test_errors():
    x, offset, weight, mask = inputs()
    with pytest.raises(ValueError, match=r'4 dimensions each, got \(3, 4, 4\)'):
        deform_conv2d(x[0], offset, weight)
    with pytest.raises(ValueError, match='too small for the kernel'):
        deform_conv2d(x, offset, weight, dilation=3)
    with pytest.raises(ValueError, match='cannot divide 4 channels into groups'):
        deform_conv2d(x, offset, torch.zeros(4, 3, 3, 3), padding=1)
    with pytest.raises(ValueError, match=r'offset must have shape \(2, groups\*18, 2, 3\)'):
        deform_conv2d(x, offset, weight)
    with pytest.raises(ValueError, match=r'mask must have shape \(2, 9, 4, 5\), got \(2, 8, 4, 5\)'):
        deform_conv2d(x, offset, weight, mask[:, :8], padding=1)
