import torch

from mmdet_kpheads.decoding.centers import CenterMaps, decode_centers, of_class
from mmdet_kpheads.decoding.flip import average_flipped_heat, average_flipped_offset, average_flipped_size
from mmdet_kpheads.decoding.options import CenterDecoding
from mmdet_kpheads.structures import GroundTruth, MapGeometry
from mmdet_kpheads.targets.keypoints import center_target_maps, center_targets
from tests.scenes import metas, well_formed

EXTENT = torch.tensor([[0.0, 0.0, 128.0, 128.0]])
GEOMETRY = MapGeometry((32, 32), (128, 128), EXTENT)


def decoded(heat, sizes, offsets, kernel=3, **options):
    decoding = CenterDecoding(local_maximum_kernel=kernel, **options)
    return decode_centers(CenterMaps(heat, sizes, offsets), GEOMETRY, decoding)


def one_peak(label=1, y=5, x=9, size=(6.0, 4.0), offset=(0.25, 0.5)):
    heat = torch.full((1, 3, 32, 32), -12.0)
    heat[0, label, y, x] = 2.0
    sizes = torch.tensor(size).view(1, 2, 1, 1).expand(1, 2, 32, 32)
    offsets = torch.tensor(offset).view(1, 2, 1, 1).expand(1, 2, 32, 32)
    return heat, sizes, offsets


def test_one_peak_by_hand():
    """Center (9.25, 5.5) cells, size 6 x 4, stride 4: x 25 .. 49, y 14 .. 30 px."""
    found = decoded(*one_peak(), topk=1)
    assert found.boxes.tolist() == [[[25.0, 14.0, 49.0, 30.0]]]
    assert found.labels.item() == 1
    assert found.valid.item()
    torch.testing.assert_close(found.scores, torch.tensor([[2.0]]).sigmoid())


def test_boxes_are_clipped_and_boxes_without_area_are_not_valid():
    found = decoded(*one_peak(y=0, x=0, size=(40.0, 40.0)), topk=1)
    assert found.boxes.tolist() == [[[0.0, 0.0, 81.0, 82.0]]]
    for size in ((-2.0, 4.0), (0.0, 4.0), (float('nan'), 4.0)):
        assert not decoded(*one_peak(size=size), topk=1).valid.any()


def test_random_maps_give_proper_boxes_inside_the_image():
    found = decoded(torch.randn(4, 3, 32, 32), torch.randn(4, 2, 32, 32) * 9, torch.rand(4, 2, 32, 32))
    boxes = found.boxes[found.valid]
    assert len(boxes) > 50
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 128


def test_score_threshold():
    heat, sizes, offsets = torch.full((1, 3, 32, 32), -13.8), torch.ones(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    assert decoded(heat, sizes, offsets, score_thr=0.05).valid.sum() == 0
    assert decoded(heat, sizes, offsets).valid.sum() == 3  # one plateau per class


def test_class_specific_sizes():
    heat, _, offsets = one_peak(label=2)
    sizes = torch.arange(6.0).view(1, 6, 1, 1).expand(1, 6, 32, 32) + 1
    box = decoded(heat, sizes, offsets, topk=1).boxes[0, 0]
    assert (box[2:] - box[:2]).tolist() == [20.0, 24.0]  # 5 x 6 cells


def test_targets_then_decode_returns_the_boxes():
    image = well_formed(20, 3, 128)
    truth = GroundTruth.from_instances([image], metas(1, 128), 3, 'SomeHead')
    dense = center_target_maps(center_targets(truth, GEOMETRY, 3))
    # distinct Gaussians may suppress one another: keep exact peaks only
    heat = torch.where(dense['center_heatmap_target'] == 1, 5.0, -torch.inf)
    found = decoded(heat, dense['wh_target'], dense['offset_target'], kernel=1)
    assert found.valid.sum() == 20
    distance = (found.boxes[0, found.valid[0]][:, None] - image.bboxes).abs().sum(-1)  # (20, 20)
    assert distance.min(0).values.max() < 1e-3


def test_flip_average_in_log_space():
    a, b = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 6)
    expected = (a.sigmoid() + b.flip(-1).sigmoid()) / 2
    torch.testing.assert_close(average_flipped_heat(a, b).sigmoid(), expected)
    huge = torch.full((1, 1, 1, 2), 200.0)
    assert average_flipped_heat(huge, huge).isfinite().all()


def test_flip_average_of_a_mirrored_offset_is_the_offset():
    offset = torch.rand(1, 2, 4, 6)
    mirrored = torch.cat((1 - offset[:, :1], offset[:, 1:]), 1).flip(-1)
    torch.testing.assert_close(average_flipped_offset(offset, mirrored), offset)


def test_average_of_sizes_and_of_both_offsets():
    first, second = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), torch.tensor([[[[5.0, 7.0]], [[6.0, 0.0]]]])
    assert average_flipped_size(first, second).tolist() == [[[[4.0, 3.5]], [[1.5, 5.0]]]]
    # mirrored back and x turned around: (1 - 7, 1 - 5) and (0, 6)
    assert average_flipped_offset(first, second).tolist() == [[[[-2.5, -1.0]], [[1.5, 5.0]]]]


def test_a_threshold_of_0_is_off():
    heat, sizes, offsets = one_peak()
    assert decoded(heat - 200, sizes, offsets, topk=1).valid.all()


def test_centers_in_the_padding_do_not_count():
    narrow = GEOMETRY._replace(extent_px=torch.tensor([[0.0, 0.0, 36.0, 128.0]]))
    for x, valid in ((8, True), (9, False)):
        heat, sizes, offsets = one_peak(x=x, size=(9.0, 4.0))
        heat[heat < 0] = -torch.inf
        found = decode_centers(CenterMaps(heat, sizes, offsets), narrow, CenterDecoding())
        assert found.valid.any() == valid


def test_class_specific_sizes_of_each_peak_of_each_image():
    sizes = torch.arange(2.0 * 2 * 6).view(2, 2, 6)
    labels = torch.tensor([[0, 2], [1, 0]])
    assert of_class(sizes, labels).tolist() == [[[0, 1], [10, 11]], [[14, 15], [18, 19]]]
    assert of_class(sizes[..., :2], labels).tolist() == sizes[..., :2].tolist()


def test_thresholds_are_exclusive_and_no_peak_is_no_box():
    assert not decoded(*one_peak()[:1], *one_peak()[1:], score_thr=float(torch.tensor(2.0).sigmoid())).valid.any()
    heat, sizes, offsets = one_peak()
    heat.fill_(-torch.inf)
    assert not decoded(heat, sizes, offsets).valid.any()


def test_the_window_of_peaks_and_cells_of_a_map_that_is_not_square():
    """The second best cell is two cells away: a peak in a window of 3, none in one of 5."""
    heat = torch.full((1, 2, 8, 12), -torch.inf)
    heat[0, 1, 5, 9], heat[0, 1, 5, 11] = 2.0, 1.0
    geometry = MapGeometry((8, 12), (32, 48), torch.tensor([[0.0, 0.0, 48.0, 32.0]]))
    maps = CenterMaps(heat, torch.full((1, 2, 8, 12), 2.0), torch.zeros(1, 2, 8, 12))
    for kernel, count in ((3, 2), (5, 1)):
        found = decode_centers(maps, geometry, CenterDecoding(local_maximum_kernel=kernel))
        assert found.valid.sum() == count
        assert found.boxes[0, 0].tolist() == [32.0, 16.0, 40.0, 24.0]
