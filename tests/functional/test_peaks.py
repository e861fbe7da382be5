import pytest
import torch

from mmdet_kpheads.backends import version_of
from mmdet_kpheads.functional.peaks import gather_cells, is_peak, top_peaks
from mmdet_kpheads.kernels.cpu import _peaks_of_best_rows
from tests.reference import center as reference


def cells_of(mask):
    return {tuple(cell) for cell in mask.nonzero().tolist()}


@pytest.mark.parametrize('levels', [2, 5, 1000])
def test_equals_the_slow_version_with_many_ties(levels):
    heat = torch.randint(levels, (9, 11)).float()
    # of a chain of equal cells the first of each window wins: the slow version says so cell by cell
    assert cells_of(is_peak(heat[None, None], 3)[0, 0]) == reference.peaks(heat)


def test_equals_mmdet_where_no_two_cells_are_equal():
    from mmdet.models.utils import get_local_maximum

    for kernel in (1, 3, 5, 7):
        heat = torch.randperm(2 * 3 * 100).float().view(2, 3, 10, 10) + 1
        assert torch.equal(is_peak(heat, kernel), get_local_maximum(heat, kernel) > 0)


def test_a_plateau_gives_one_peak_and_nan_none():
    heat = torch.zeros(1, 1, 6, 6)
    heat[..., 1:3, 1:3] = 1
    heat[..., 5, 5] = torch.nan
    mask = is_peak(heat, 3)[0, 0]
    assert mask[1, 1]
    assert not mask[1, 2] and not mask[2, 1] and not mask[2, 2] and not mask[5, 5]
    assert cells_of(is_peak(torch.full((1, 1, 20, 30), 7.0), 3)[0, 0]) == {(0, 0)}
    assert not is_peak(torch.full((1, 1, 4, 4), -torch.inf), 3).any()


@pytest.mark.parametrize('kernel', [0, 4, -3])
def test_even_windows_are_refused(backend, kernel):
    with pytest.raises(ValueError, match='local_maximum_kernel must be a positive odd number'):
        is_peak(torch.zeros(1, 1, 4, 4), kernel)
    with pytest.raises(ValueError, match='local_maximum_kernel must be a positive odd number'):
        version_of(top_peaks, torch.zeros(1), backend)(torch.zeros(1, 9, 64, 64), 2, kernel)


def test_k_beyond_the_map_is_cut(backend):
    peaks = version_of(top_peaks, torch.zeros(1), backend)(torch.randn(2, 1, 3, 3), k=100, kernel=3)
    assert peaks.logits.shape == (2, 9)
    assert (peaks.logits[:, 0] > -torch.inf).all()


def test_best_first_and_equal_ones_by_class_and_cell(backend):
    heat = torch.full((1, 2, 5, 5), -9.0)
    heat[0, 1, 2, 2], heat[0, 0, 4, 4], heat[0, 0, 0, 0] = 3.0, 5.0, 3.0
    peaks = version_of(top_peaks, heat, backend)(heat, 3, 3)
    assert peaks.labels.tolist() == [[0, 0, 1]]
    assert peaks.cells.tolist() == [[24, 0, 12]]


def test_of_equal_ones_at_the_cut_the_first_wins(backend):
    find = version_of(top_peaks, torch.zeros(1), backend)
    heat = torch.zeros(1, 2, 40, 40)
    heat[..., ::4, ::4] = -0.0
    heat[..., 1::4, 1::4] = 1.0
    peaks = find(heat, 5, 3)
    assert peaks.cells.tolist() == [[41, 45, 49, 53, 57]]
    assert peaks.labels.tolist() == [[0] * 5]
    assert peaks.logits.tolist() == [[1.0] * 5]
    negative = find(heat - 3, 5, 3)
    assert negative.cells.tolist() == peaks.cells.tolist()
    assert negative.logits.tolist() == [[-2.0] * 5]


def test_masked_cells_neither_are_peaks_nor_suppress(backend):
    heat = torch.zeros(1, 1, 4, 4)
    heat[..., 1, 2], heat[..., 1, 1] = 9.0, 5.0
    columns = torch.arange(4) < 2
    peaks = version_of(top_peaks, heat, backend)(heat, 1, 3, columns.expand(1, 1, 4, 4))
    assert (peaks.logits.item(), peaks.cells.item()) == (5.0, 5)


def test_gather_cells_reads_row_major():
    maps = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    assert gather_cells(maps, torch.tensor([[7], [19]]))[:, 0].tolist() == [
        maps[0, :, 1, 2].tolist(),
        maps[1, :, 3, 4].tolist(),
    ]


def blobs(batch=2, classes=3, cells=64, seed=0, levels=None):
    """Wide bumps over noise, as a trained network gives them; with few levels there are many ties."""
    heat = torch.randn(batch, classes, cells, cells, generator=torch.Generator().manual_seed(seed))
    heat = torch.nn.functional.avg_pool2d(heat, 7, 1, 3) * 20
    return heat if levels is None else (heat * levels).round() / levels


@pytest.mark.parametrize('kernel', [1, 3, 5])
@pytest.mark.parametrize('k', [1, 4, 20])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('levels', [None, 1])
def test_the_best_rows_hold_the_best_peaks(levels, masked, k, kernel):
    heat = blobs(levels=levels)
    valid = (torch.rand(2, 1, 64, 64) > 0.3) if masked else None
    expected = top_peaks(heat, k, kernel, valid)
    for found, wanted in zip(version_of(top_peaks, heat, 'cpu')(heat, k, kernel, valid), expected, strict=True):
        assert torch.equal(found, wanted)


def test_the_best_rows_suffice_where_peaks_are_clear_and_not_where_they_are_not():
    def is_clear(heat):
        return _peaks_of_best_rows(heat, 4, 3, None)[1].tolist()

    assert is_clear(blobs()) == [True, True]
    assert is_clear(torch.zeros(1, 3, 64, 64)) == [False]  # one peak per class, all rows equal
    assert is_clear(torch.full((1, 3, 64, 64), torch.nan)) == [False]


def test_an_image_that_is_not_clear_leaves_the_others_alone():
    heat = blobs(batch=3)
    heat[1] = 0
    find = version_of(top_peaks, heat, 'cpu')
    for found, wanted in zip(find(heat, 4, 3), top_peaks(heat, 4, 3), strict=True):
        assert torch.equal(found, wanted)


def test_the_best_rows_hold_peaks_at_the_sides_of_negative_logits():
    """Noise around -20, and on each side of each class peaks that no other one comes near."""
    heat = torch.rand(1, 3, 64, 64) - 20
    sides = torch.tensor([0, 20, 40, 63])
    heat[..., sides[:, None], sides] = torch.rand(3, 4, 4) - 10
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., 0, 0] = valid[..., 63, 20] = valid[..., 62, 63] = False
    for cells in (None, valid):
        peaks, is_clear = _peaks_of_best_rows(heat, 20, 3, cells)
        assert is_clear.all()
        for found, wanted in zip(peaks, top_peaks(heat, 20, 3, cells), strict=True):
            assert torch.equal(found, wanted)


def test_cells_that_are_not_valid_do_not_choose_the_rows():
    heat, valid = blobs(), torch.ones(2, 1, 64, 64, dtype=torch.bool)
    valid[..., 5] = False
    heat[:, 2, :, 5] = 1000.0
    assert _peaks_of_best_rows(heat, 4, 3, valid)[1].all()
    heat[1] = torch.where(valid[1], 0.0, 1000.0)  # all rows equal: the whole map is searched
    find = version_of(top_peaks, heat, 'cpu')
    for found, wanted in zip(find(heat, 4, 3, valid), top_peaks(heat, 4, 3, valid), strict=True):
        assert torch.equal(found, wanted)


def test_of_equal_peaks_in_every_row_the_first_win():
    """Each row has one peak of 1, far from those of the rows beside it; topk may choose any rows."""
    heat = torch.zeros(1, 3, 64, 64)
    rows = torch.arange(3 * 64)
    heat.view(-1, 64)[rows, rows * 20 % 60] = 1.0
    peaks = version_of(top_peaks, heat, 'cpu')(heat, 2, 3)
    assert peaks.labels.tolist() == [[0, 0]]
    assert peaks.cells.tolist() == [[0, 64 + 20]]


@pytest.mark.parametrize('shape', [(3, 4), (2, 3, 4), (1, 2, 3, 4)])
def test_a_peak_at_the_side_of_negative_logits_in_maps_of_any_shape(shape):
    heat = torch.linspace(-20, -10, 12).view(3, 4).expand(shape)
    expected = torch.zeros(3, 4, dtype=torch.bool)
    expected[2, 3] = True
    assert torch.equal(is_peak(heat, 3), expected.expand(shape))
    assert not is_peak(torch.full((1, 2, 2), -torch.inf), 1).any()


def test_labels_and_cells_of_a_map_that_is_not_square():
    heat = torch.full((1, 2, 3, 5), -9.0)
    heat[0, 1, 2, 4] = heat[0, 0, 0, 3] = 1.0
    peaks = top_peaks(heat, 2, 3)
    assert peaks.labels.tolist() == [[0, 1]] and peaks.cells.tolist() == [[3, 14]]
