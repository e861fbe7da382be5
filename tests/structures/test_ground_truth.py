import pytest
import torch

from mmdet_kpheads.structures import GroundTruth
from tests.scenes import instances, metas

NAN, INF = float('nan'), float('inf')


def collect(*images, size=128, num_classes=3, ignored=None):
    return GroundTruth.from_instances(list(images), metas(len(images), size), num_classes, 'SomeHead', ignored)


def test_boxes_are_padded_clipped_and_counted():
    truth = collect(
        instances([[-20, 10, 40, 40], [120, 10, 150, 40], [60, 60, 40, 40], [128, 0, 128, 9]], [0, 1, 2, 0]),
        instances([], []),
        instances([[0, 0, NAN, 5], [0, 0, INF, 5], [-200, 0, -100, 50], [1, 2, 3, 4]], [0, 0, 0, 2]),
    )
    assert truth.valid.sum(1).tolist() == [2, 0, 1]
    assert truth.boxes[0, :2].tolist() == [[120.0, 10.0, 128.0, 40.0], [0.0, 10.0, 40.0, 40.0]]
    assert truth.boxes[2, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert truth.labels[truth.valid].tolist() == [1, 0, 2]
    assert truth.num_dropped_boxes == 5
    assert (truth.boxes[~truth.valid] == 0).all()


def test_an_all_empty_batch_keeps_invalid_rows():
    truth = collect(instances([], []), instances([], []))
    assert truth.boxes.shape == (2, 3, 4)
    assert not truth.valid.any()
    assert truth.num_dropped_boxes == 0


def test_order_of_the_annotations_does_not_matter():
    boxes = torch.rand(20, 2) * 60
    boxes = torch.cat((boxes, boxes + 1 + torch.randint(1, 4, (20, 2))), 1)  # many of equal area
    labels = torch.randint(3, (20,))
    order = torch.randperm(20)
    one, other = collect(instances(boxes, labels)), collect(instances(boxes[order], labels[order]))
    assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
    boxes = one.boxes[one.valid]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    assert (areas.diff() >= 0).all()


@pytest.mark.parametrize(
    ('label', 'text'), [(3, r'label 3 >= num_classes 3 in SomeHead \(image 1 of the batch\)'), (-2, r'label -2 < 0')]
)
def test_a_label_out_of_range_is_named(label, text):
    with pytest.raises(ValueError, match=text):
        collect(instances([[0, 0, 9, 9]], [0]), instances([[0, 0, 9, 9]], [label]))


def test_bad_labels_that_are_not_checked_are_dropped_and_counted():
    boxes, labels = torch.tensor([[0.0, 0, 9, 9], [0, 0, 8, 8]]), torch.tensor([7, 1])
    truth = GroundTruth.from_tensors([boxes], [labels], [(128, 128)], 3, 'SomeHead', check_labels=False)
    assert truth.num_bad_labels == 1
    assert truth.labels[truth.valid].tolist() == [1]


def test_label_minus_one_makes_an_ignore_box():
    truth = collect(instances([[0, 0, 9, 9], [20, 20, 30, 30]], [-1, 1]), ignored=[instances([[1, 1, 2, 2]], [0])])
    assert truth.valid.sum() == 1
    assert truth.ignore_boxes[truth.ignore_valid].tolist() == [[1, 1, 2, 2], [0, 0, 9, 9]]
    assert truth.num_dropped_boxes == 0


def test_mmdet_box_types_are_accepted():
    from mmdet.structures.bbox import HorizontalBoxes

    image = instances([[0, 0, 9, 9]], [1])
    wrapped = instances([[0, 0, 9, 9]], [1])
    wrapped.bboxes = HorizontalBoxes(wrapped.bboxes)
    assert torch.equal(collect(wrapped).boxes, collect(image).boxes)


def test_boxes_are_clipped_to_the_image_not_to_the_padded_input():
    meta = dict(batch_input_shape=(128, 128), img_shape=(100, 90))
    truth = GroundTruth.from_instances([instances([[80, 80, 120, 120]], [0])], [meta], 1, 'SomeHead')
    assert truth.boxes[0, 0].tolist() == [80.0, 80.0, 90.0, 100.0]


def test_labels_of_an_image_without_objects_may_have_any_type():
    boxes, labels = [torch.tensor([[0.0, 0, 9, 9]]), torch.zeros(0, 4)], [torch.tensor([2]), torch.zeros(0)]
    truth = GroundTruth.from_tensors(boxes, labels, [(128, 128)] * 2, 3, 'SomeHead')
    assert truth.labels.dtype == torch.int64
    assert truth.labels[truth.valid].tolist() == [2]


def test_every_field_of_a_batch_by_hand():
    boxes = [
        torch.tensor([[0.0, 0, 9, 9], [1, 1, 5, 5], [2, 2, 2, 7], [3, 3, 6, 6]]),
        torch.zeros(0, 4),
        torch.tensor([[5.0, 6, 7, 99]]),
    ]
    labels = [torch.tensor([1, 0, 0, -1]), torch.zeros(0), torch.tensor([2])]
    ignores = [torch.zeros(0, 4), torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), torch.tensor([[9.0, 9, 9, 9]])]
    truth = GroundTruth.from_tensors(boxes, labels, [(50, 60), (10, 20), (30, 40)], 3, 'SomeHead', ignores)
    assert truth.boxes.tolist() == [
        [[1, 1, 5, 5], [0, 0, 9, 9], [0] * 4, [0] * 4],
        [[0] * 4] * 4,
        [[5, 6, 7, 30], [0] * 4, [0] * 4, [0] * 4],
    ]
    assert truth.labels.tolist() == [[0, 1, 0, 0], [0] * 4, [2, 0, 0, 0]]
    assert truth.valid.tolist() == [[True, True, False, False], [False] * 4, [True, False, False, False]]
    found = [truth.ignore_boxes[image][truth.ignore_valid[image]].tolist() for image in range(3)]
    assert found == [[[3, 3, 6, 6]], [[1, 2, 3, 4], [5, 6, 7, 8]], [[9, 9, 9, 9]]]
    assert truth.extent_px.tolist() == [[0, 0, 60, 50], [0, 0, 20, 10], [0, 0, 40, 30]]
    assert {name: value.item() for name, value in truth.counts().items()} == {
        'num_dropped_boxes': 1,
        'num_bad_labels': 0,
    }
    assert truth.boxes.dtype == torch.float32 and truth.num_dropped_boxes.dtype == torch.float32


def test_ignore_boxes_of_some_images_and_of_none():
    image = instances([[0, 0, 9, 9]], [1])
    truth = collect(image, image, ignored=[None, instances([[1, 1, 2, 2]], [0])])
    assert truth.ignore_valid.sum(1).tolist() == [0, 1]
    assert truth.ignore_boxes[truth.ignore_valid].tolist() == [[1, 1, 2, 2]]
    assert not collect(image, image, ignored=[None, None]).ignore_valid.any()
    assert not collect(image).ignore_valid.any()


def test_labels_are_checked_on_request_and_the_first_bad_one_is_named():
    boxes, sizes = [torch.tensor([[0.0, 0, 9, 9], [0, 0, 8, 8]])] * 2, [(128, 128)] * 2
    labels = [torch.tensor([1, 2]), torch.tensor([0, 7])]
    with pytest.raises(ValueError, match=r'label 7 >= num_classes 3 in SomeHead \(image 1 of the batch\): labels run'):
        GroundTruth.from_tensors(boxes, labels, sizes, 3, 'SomeHead', check_labels=True)
    with pytest.raises(ValueError, match='label 0 >= num_classes 0'):
        GroundTruth.from_tensors(boxes[:1], [torch.tensor([0, 0])], sizes[:1], 0, 'SomeHead')


def test_boxes_and_sizes_must_be_of_the_same_images():
    with pytest.raises(ValueError, match='zip'):
        GroundTruth.from_tensors([torch.zeros(1, 4)], [torch.zeros(1)], [(9, 9), (9, 9)], 3, 'SomeHead')


def test_boxes_keep_no_graph():
    image = instances([[0, 0, 9, 9]], [1])
    image.bboxes = image.bboxes.double().requires_grad_()
    truth = collect(image)
    assert not truth.boxes.requires_grad and truth.boxes.dtype == torch.float32
