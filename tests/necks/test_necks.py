"""Up-sampling necks: shapes, starting values, errors. Outputs are compared in tests/convert."""

import pytest
import torch
import torch.nn.functional as F

from mmdet_kpheads.necks import DeconvNeck, DLAUp
from mmdet_kpheads.necks.dla_up import bilinear_upsampling

CHANNELS = (8, 12, 16, 20)


def pyramid(batch=2, cells=16):
    return [torch.randn(batch, channels, cells >> level, cells >> level) for level, channels in enumerate(CHANNELS)]


@pytest.mark.parametrize('factor', [2, 4])
def test_upsampling_starts_as_bilinear_interpolation(factor):
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        found = bilinear_upsampling(3, factor)(x)
    expected = F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
    inner = slice(factor, -factor)  # at the edge a transposed convolution fades out
    torch.testing.assert_close(found[..., inner, inner], expected[..., inner, inner])


@pytest.mark.parametrize('deformable', [False, True])
def test_one_map_of_the_finest_size_and_width(deformable):
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


def test_wrong_number_of_maps_is_named():
    with pytest.raises(ValueError, match=r'got 3 maps, configured for in_channels=\(8, 12, 16, 20\)'):
        DLAUp(CHANNELS)(pyramid()[:3])
    with pytest.raises(ValueError, match=r'two maps or more, but in_channels is \(8,\)'):
        DLAUp((8,))


def test_transposed_convolutions_double_each_time():
    neck = DeconvNeck(20, channels=(8, 6))
    (found,) = neck(pyramid())
    assert found.shape == (2, 6, 8, 8)
