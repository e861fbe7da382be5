"""Upsampling necks: shapes, initialization, errors. tests/convert compares the outputs."""

import pytest
import torch
import torch.nn.functional as F

from mmdet_kpheads.necks import DeconvNeck, DLAUp
from mmdet_kpheads.necks.dla_up import bilinear_upsampling

CHANNELS = (8, 12, 16, 20)


def pyramid(batch=2, cells=16):
    return [torch.randn(batch, channels, cells >> level, cells >> level) for level, channels in enumerate(CHANNELS)]


@pytest.mark.parametrize('factor', [2, 4])
def test_upsampling_is_initialized_to_bilinear_interpolation(factor):
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        found = bilinear_upsampling(3, factor)(x)
    expected = F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
    inner = slice(factor, -factor)  # a transposed convolution fades out at the border
    torch.testing.assert_close(found[..., inner, inner], expected[..., inner, inner])


@pytest.mark.parametrize('deformable', [False, True])
def test_output_has_the_size_and_channels_of_the_finest_map(deformable):
    neck = DLAUp(CHANNELS, deformable)
    (found,) = neck(pyramid())
    assert found.shape == (2, 8, 16, 16)
    found.sum().backward()
    assert all(value.grad is not None for value in neck.parameters())


@pytest.mark.parametrize('deformable', [False, True])
@pytest.mark.parametrize('level', range(4))
def test_every_input_map_reaches_the_output(deformable, level):
    neck, maps = DLAUp(CHANNELS, deformable).eval(), pyramid()
    with torch.no_grad():
        (before,) = neck(maps)
        maps[level] = maps[level] + 1
        (after,) = neck(maps)
    assert (before != after).any()


def test_wrong_number_of_maps_is_reported():
    with pytest.raises(ValueError, match=r'got 3 maps, configured for in_channels=\(8, 12, 16, 20\)'):
        DLAUp(CHANNELS)(pyramid()[:3])
    with pytest.raises(ValueError, match=r'at least two maps, but in_channels is \(8,\)'):
        DLAUp((8,))


def test_each_transposed_convolution_doubles_the_size():
    neck = DeconvNeck(20, channels=(8, 6))
    (found,) = neck(pyramid())
    assert found.shape == (2, 6, 8, 8)
