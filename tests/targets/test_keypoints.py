import pytest
import torch

from mmdet_kpheads.functional.gaussian import draw, gaussian_radius
from mmdet_kpheads.structures import GroundTruth, MapGeometry
from mmdet_kpheads.targets.keypoints import (
    TargetOptions,
    center_target_maps,
    center_targets,
    corner_target_maps,
    corner_targets,
)
from tests.reference import center as reference
from tests.scenes import instances, metas, well_formed


def targets_of(*images, size=128, num_classes=3, cells=32, ignored=None, class_specific=False, **options):
    truth = GroundTruth.from_instances(list(images), metas(len(images), size), num_classes, 'SomeHead', ignored)
    geometry = MapGeometry((cells, cells), (size, size), truth.extent_px)
    return center_targets(truth, geometry, num_classes, TargetOptions(**options), class_specific)


def test_one_box_by_hand():
    """Box (8, 12)-(30, 40) at stride 4: center (19, 26) px = (4.75, 6.5) cells, size 5.5 x 7 cells."""
    targets = targets_of(instances([[8, 12, 30, 40]], [2]))
    assert targets.cells[0, 0] == 6 * 32 + 4
    assert targets.offsets[0, 0].tolist() == [0.75, 0.5]
    assert targets.sizes[0, 0].tolist() == [5.5, 7.0]
    heatmap = draw(targets.gaussians)
    assert heatmap[0, 2, 6, 4] == 1
    assert (heatmap == 1).sum() == 1
    assert targets.num_peaks == 1


@pytest.mark.parametrize('count', [0, 1, 10, 60])
def test_heatmap_equals_the_loop(count):
    image = well_formed(count, 3, 128)
    targets = targets_of(image)
    expected = reference.heatmap(image.bboxes.tolist(), image.labels.tolist(), 3, 32, 32, 0.25)
    torch.testing.assert_close(draw(targets.gaussians)[0].double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('count', [1, 10, 60])
def test_legacy_heatmap_equals_that_of_centernets_repository(count):
    image = well_formed(count, 3, 128)
    targets = targets_of(image, radius='legacy')
    boxes, labels = image.bboxes.tolist(), image.labels.tolist()
    expected = reference.heatmap(boxes, labels, 3, 32, 32, 0.25, 0.7, reference.radius_of_centernet)
    torch.testing.assert_close(draw(targets.gaussians)[0].double(), expected, rtol=1e-5, atol=1e-6)


def test_legacy_radius_by_hand():
    """27 x 31 px are 6.75 x 7.75 cells and count as 7 x 8: the third root is 2.04, and 1.97 without rounding up."""
    (radius,) = targets_of(instances([[8, 12, 35, 43]], [2]), radius='legacy').gaussians.radius[0, :1].tolist()
    assert radius == 2
    assert reference.radius_of_centernet(7.75, 6.75, 0.7) == pytest.approx(2.0415, abs=1e-4)


@pytest.mark.parametrize('size', [(128, 128), (96, 160)])
def test_dense_maps_equal_mmdet(size):
    from mmdet.models.dense_heads import CenterNetHead

    images = [well_formed(7, 3, 96, seed) for seed in range(3)] + [instances([], [])]
    shape = (4, 3, size[0] // 4, size[1] // 4)
    theirs, factor = CenterNetHead(4, 4, 3).get_targets(
        [i.bboxes for i in images], [i.labels for i in images], shape, size
    )
    truth = GroundTruth.from_tensors([i.bboxes for i in images], [i.labels for i in images], [size] * 4, 3, 'SomeHead')
    targets = center_targets(truth, MapGeometry(shape[2:], size, truth.extent_px), 3)
    assert targets.num_peaks == factor
    for name, ours in center_target_maps(targets).items():
        torch.testing.assert_close(
            ours, theirs[name], rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f'{name}: {text}'
        )


def test_smaller_box_wins_a_shared_cell_in_any_order():
    boxes, labels = [[10, 10, 30, 30], [15, 15, 25, 25], [16, 14, 24, 26]], [0, 1, 0]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        targets = targets_of(instances([boxes[i] for i in order], [labels[i] for i in order]))
        assert targets.sizes[targets.regress].tolist() == [[2.0, 3.0]]  # area 96 against 100 and 400
        assert targets.num_peaks == 2  # two classes at the cell
        assert targets.num_shared_cells == 2
    per_class = targets_of(instances(boxes, labels), class_specific=True)
    assert per_class.regress.sum() == 2


def test_touching_the_far_edge_stays_on_the_map():
    targets = targets_of(instances([[127.999, 127.999, 128, 128], [0, 0, 128, 128]], [0, 1]))
    assert targets.cells.max() < 32 * 32
    assert targets.regress.sum() == 2


def test_boxes_at_and_beyond_the_border_have_the_clipped_geometry():
    boxes = [[-30, 40, 10, 60], [118, 40, 300, 60], [40, -30, 60, 10], [40, 118, 60, 300], [0, 0, 8, 8]]
    targets = targets_of(instances(boxes, [0] * 5))
    clipped = torch.tensor(boxes, dtype=torch.float32).clamp(0, 128)
    centers = ((clipped[:, :2] + clipped[:, 2:]) / 8).floor().long()
    expected = set((centers[:, 1] * 32 + centers[:, 0]).tolist())
    assert set(targets.cells[targets.regress].tolist()) == expected
    assert targets.num_peaks == 5


def test_ignore_boxes_take_the_weight_from_cells_and_objects():
    ignored = [instances([[0, 0, 16, 16]], [0])]
    image = instances([[2, 2, 12, 12], [60, 60, 80, 80]], [0, 1])
    off = targets_of(image, ignored=ignored)
    assert off.weight is None
    assert off.num_peaks == 2
    on = targets_of(image, ignored=ignored, ignore_regions=True)
    assert on.weight[0, 0, :4, :4].sum() == 0
    assert on.weight.sum() == 32 * 32 - 16
    assert on.num_peaks == 1
    assert on.regress.sum() == 1


def test_three_thousand_objects():
    targets = targets_of(well_formed(3000, 5, 512), size=512, cells=128, num_classes=5)
    assert targets.regress.sum() == 3000
    assert targets.num_peaks == 3000


@pytest.mark.parametrize('corner', [0, 1])
def test_a_box_at_the_side_of_a_padded_image_keeps_its_corner_inside(corner):
    """Image 384 x 512 in an input of 512 x 512 at stride 4: the last row of the image is 95, not 96 or 127."""
    meta = dict(batch_input_shape=(512, 512), img_shape=(384, 512))
    truth = GroundTruth.from_instances([instances([[100, 200, 300, 384]], [0])], [meta], 1, 'SomeHead')
    targets = corner_targets(truth, MapGeometry((128, 128), (512, 512), truth.extent_px), 1)[corner]
    x, y = ((25, 50), (75, 95))[corner]
    assert targets.cells[0, 0] == y * 128 + x
    assert targets.offsets[0, 0].tolist() == [0.0, corner * 1.0]  # the offset leads to row 96, y = 384 px


OBLONG = MapGeometry((8, 12), (32, 48), torch.tensor([[0.0, 0.0, 48.0, 32.0]]).expand(2, 4))


def two_images(ignore_boxes=None):
    boxes = [torch.tensor([[6.0, 2.0, 21.0, 13.0], [24.0, 8.0, 47.0, 31.0]]), torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
    labels = [torch.tensor([1, 0]), torch.tensor([2])]
    return GroundTruth.from_tensors(boxes, labels, [(32, 48)] * 2, 3, 'SomeHead', ignore_boxes)


def test_corners_by_hand_on_a_map_that_is_not_square():
    """Box (6, 2)-(21, 13): (1.5, 0.5) and (5.25, 3.25) cells; box (24, 8)-(47, 31): (6, 2) and (11.75, 7.75)."""
    targets = corner_targets(two_images(), OBLONG, 3)
    assert targets.pair_cells()[0, :2].tolist() == [[1, 3 * 12 + 5], [2 * 12 + 6, 7 * 12 + 11]]
    assert targets.pair_cells()[1, 0].tolist() == [0, 12 + 1]
    assert targets.pair_mask().tolist() == [[True, True, False], [True, False, False]]
    assert targets.top_left.offsets[0, :2].tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert targets.bottom_right.offsets[0, :2].tolist() == [[0.25, 0.25], [0.75, 0.75]]
    assert targets.top_left.sizes[0, :2].tolist() == [[3.75, 2.75], [5.75, 5.75]]
    for corner in targets:
        assert corner.num_peaks == 3 and corner.num_shared_cells == 0 and corner.weight is None
        heatmap = draw(corner.gaussians)
        assert heatmap.shape == (2, 3, 8, 12)
        for image, label, cell in ((0, 1, corner.cells[0, 0]), (0, 0, corner.cells[0, 1]), (1, 2, corner.cells[1, 0])):
            assert heatmap[image, label].flatten()[cell] == 1
        # of sizes rounded up, 4 x 3 and 6 x 6: r = 0.72 and 1.36
        assert corner.gaussians.radius[0, :2].tolist() == [0, 1]
        assert corner.gaussians.max_radius == 2  # of 12 x 8: 2.06


def test_a_corner_in_an_ignore_box_takes_the_pair_out():
    ignores = [torch.zeros(0, 4), torch.tensor([[4.0, 4.0, 8.0, 8.0]])]
    targets = corner_targets(two_images(ignores), OBLONG, 3, TargetOptions(ignore_regions=True))
    assert targets.top_left.counted.sum(1).tolist() == [2, 1] and targets.bottom_right.counted.sum(1).tolist() == [2, 0]
    assert targets.pair_mask().sum(1).tolist() == [2, 0]
    assert targets.bottom_right.num_peaks == 2 and targets.bottom_right.num_shared_cells == 0
    assert targets.bottom_right.weight.shape == (2, 1, 8, 12) and targets.bottom_right.weight.dtype == torch.float32
    assert (targets.bottom_right.weight == 0).nonzero().tolist() == [[1, 0, 1, 1]]


def test_boxes_of_two_classes_share_a_cell_unless_their_sizes_are_apart():
    truth = GroundTruth.from_tensors(
        [torch.tensor([[4.0, 4, 9, 9], [4, 4, 10, 10]])], [torch.tensor([0, 1])], [(32, 48)], 2, ''
    )
    geometry = OBLONG._replace(extent_px=truth.extent_px)
    assert center_targets(truth, geometry, 2).regress.sum() == 1
    assert center_targets(truth, geometry, 2, class_specific=True).regress.sum() == 2
    assert corner_targets(truth, geometry, 2).top_left.regress.sum() == 1


def test_radius_options_are_used():
    truth = two_images()
    for options in (TargetOptions(), TargetOptions(min_overlap=0.1), TargetOptions(radius='legacy')):
        overlap = options.overlap
        sizes = torch.tensor([[3.75, 2.75], [5.75, 5.75]])
        sizes = sizes.ceil() if options.radius == 'legacy' else sizes
        expected = [int(gaussian_radius(h, w, overlap, options.radius)) for w, h in sizes]
        assert center_targets(truth, OBLONG, 3, options).gaussians.radius[0, :2].tolist() == expected
    assert TargetOptions().overlap == 0.3 and TargetOptions(radius='legacy').overlap == 0.7
    assert TargetOptions(min_overlap=0.5).overlap == 0.5
    for bad, text in ((dict(radius='paper'), 'radius must be'), (dict(min_overlap=0.0), 'min_overlap must be')):
        with pytest.raises(ValueError, match=text):
            TargetOptions(**bad)


def test_dense_maps_of_both_corners():
    maps = corner_target_maps(corner_targets(two_images(), OBLONG, 3))
    assert maps['topleft_offset'].shape == (2, 2, 8, 12)
    assert maps['topleft_offset'][0, :, 0, 1].tolist() == [0.5, 0.5]
    assert maps['bottomright_offset'].nonzero().tolist() == [
        [0, 0, 3, 5], [0, 0, 7, 11], [0, 1, 3, 5], [0, 1, 7, 11],
    ]  # fmt: skip
    assert maps['topleft_heatmap'][0, 1, 0, 1] == maps['bottomright_heatmap'][1, 2, 1, 1] == 1
