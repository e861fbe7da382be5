"""DLA-34: size, levels and published weights. tests/convert compares the outputs."""

import pytest
import torch

from mmdet_kpheads.backbones import DLA
from tests.reference.authors import Base

NARROW = (8, 8, 16, 16, 24, 32)
CLASSIFIER = 512 * 1000 + 1000
UNUSED_PROJECTIONS = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256)  # of level3 and level4


def test_parameter_count_equals_the_published_one():
    """15.8 million (Deep Layer Aggregation, table of the authors' models) with classifier and unused projections."""
    parameters = sum(value.numel() for value in DLA().parameters())
    assert parameters == 15_229_104
    assert round((parameters + CLASSIFIER + UNUSED_PROJECTIONS) / 1e6, 1) == 15.8


def test_levels_have_the_right_strides_and_channels():
    image = torch.randn(1, 3, 64, 96)
    levels = DLA(channels=NARROW, out_indices=(0, 1, 2, 3, 4, 5))(image)
    assert [level.shape for level in levels] == [
        (1, channels, 64 >> level, 96 >> level) for level, channels in enumerate(NARROW)
    ]
    assert len(DLA(channels=NARROW)(image)) == 4


def test_every_parameter_gets_a_gradient():
    model = DLA(channels=NARROW)
    sum(level.sum() for level in model(torch.randn(2, 3, 64, 64))).backward()
    assert all(value.grad is not None for value in model.parameters())


def test_published_imagenet_weights_load(tmp_path):
    """A file written by the authors' model loads through ``Pretrained``."""
    theirs = Base(NARROW).eval()
    torch.save(theirs.state_dict(), tmp_path / 'dla34.pth')
    model = DLA(channels=NARROW, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'dla34.pth'))).eval()
    model.init_weights()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for ours, level in zip(model(image), theirs(image)[2:], strict=True):
            torch.testing.assert_close(ours, level)


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(channels=(8, 8)), r'six levels, but got channels=\(8, 8\)'),
        (dict(out_indices=(2, 6)), r'levels from 0 to 5, but got \(2, 6\)'),
        (dict(out_indices=()), r'levels from 0 to 5, but got \(\)'),
    ],
)
def test_invalid_options_are_reported(options, text):
    with pytest.raises(ValueError, match=text):
        DLA(**options)
