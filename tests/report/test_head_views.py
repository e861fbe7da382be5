"""What each head saw, from maps that are known."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_kpheads.heads.postprocess import to_instances
from mmdet_kpheads.report import head_views
from mmdet_kpheads.report.head_views import Peak, Seen
from mmdet_kpheads.structures import Detections, MapGeometry
from tests.training import features_of, small_head

CLASSES = ('$a$', '<b>', 'c')
META = dict(batch_input_shape=(64, 64), img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0))
HEADS = ('centernet', 'cornernet', 'autoassign')


def decoded(data):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(int)


@pytest.mark.parametrize(
    'place',
    [
        dict(scale_factor=(0.5, 2.0)),
        dict(border=(8, 56, 16, 48), scale_factor=(1.0, 1.0)),
        dict(border=(4, 60, 2, 62), scale_factor=(2.0, 0.5)),
    ],
)
def test_objects_go_back_the_way_that_boxes_came(place):
    meta = META | place | dict(ori_shape=(1000, 1000))
    boxes = torch.tensor([[3.0, 5.0, 21.0, 17.0], [10.0, 0.0, 30.0, 40.0]])
    instances = [dict(bbox=box, bbox_label=label) for box, label in zip(boxes.tolist(), (2, 0), strict=True)]
    seen = head_views.objects_in_input(
        meta | dict(instances=[*instances, dict(bbox=[0, 0, 1, 1], bbox_label=1, ignore_flag=1)])
    )
    assert seen.labels.tolist() == [2, 0]
    found = Detections(seen.bboxes[None], torch.ones(1, 2), seen.labels[None], torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(to_instances(found, [meta], True, None, 10)[0].bboxes, boxes)


def test_no_objects():
    assert head_views.objects_in_input(META).bboxes.shape == (0, 4)


def test_peaks_by_hand():
    """A peak of class 1 in cell (x=3, y=2) with offset (0.5, 0.25) at 4 pixels per cell: (14, 9); tag 0.7."""
    heat = torch.full((1, 2, 16, 16), -20.0)
    heat[0, 1, 2, 3], offsets, tags = 0.0, torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 16, 16)
    offsets[0, :, 2, 3], tags[0, 0, 2, 3] = torch.tensor([0.5, 0.25]), 0.7
    geometry = MapGeometry.from_metas([META], heat)
    first, *others = head_views.peaks_of(heat, offsets, tags, geometry, 5, 3)
    assert (first.x, first.y, first.score, first.label) == (14, 9, 0.5, 1) and first.tag == pytest.approx([0.7])
    assert all(peak.score < 1e-6 for peak in others)
    assert head_views.peaks_of(heat, offsets, None, geometry, 5, 3)[0].tag == []


def test_tag_of_a_corner():
    corners = [Peak(10, 20, 0.9, 0, [1.5]), Peak(30, 20, 0.9, 0, [2.5])]
    assert head_views.tag_at(corners, (30.2, 20.1)) == [2.5]
    assert head_views.tag_at(corners, (20, 20)) == [] and head_views.tag_at([], (0, 0)) == []


def scene(name):
    """A head and what it saw of two objects, with random weights."""
    head = small_head(name)
    head.eval()
    objects = InstanceData(bboxes=torch.tensor([[8.0, 8, 40, 40], [30, 20, 60, 60]]), labels=torch.tensor([0, 2]))
    with torch.no_grad():
        maps = head(features_of(name, 1, 0))
    return head, Seen(np.full((64, 64, 3), 90, np.uint8), objects, maps, META)


@pytest.mark.parametrize(('name', 'number'), zip(HEADS, (2, 3, 3), strict=True))
@pytest.mark.parametrize('threshold', [0.0, 0.99])
def test_views_of_each_head(name, number, threshold):
    head, seen = scene(name)
    pictures = head_views.view_of(head)(head, seen, CLASSES, threshold)
    assert len(pictures) == number and len({picture.caption for picture in pictures}) == number
    for picture in pictures:
        assert decoded(picture.data).shape == (384, 384, 3)
    prior = head_views.center_prior_view(head, CLASSES, np.ones(3, int))
    assert (prior is not None) == (name == 'autoassign')


def test_of_many_classes_the_prior_of_those_with_most_objects_is_drawn(monkeypatch):
    head, few = scene('autoassign')[0], head_views.center_prior_view
    torch.nn.init.constant_(head.center_prior.sigma.data[1], 9.0)  # a wide Gaussian
    monkeypatch.setattr(head_views, 'MAX_PRIORS', 1)
    picture = few(head, CLASSES, np.array([3, 0, 5]))
    assert 'the 1 classes with most objects' in picture.caption
    assert np.abs(decoded(picture.data) - decoded(few(head, CLASSES, np.array([3, 5, 0])).data)).max() > 100
    assert decoded(picture.data).shape[0] == decoded(picture.data).shape[1]


@pytest.mark.parametrize('name', HEADS)
def test_padding_is_cut_off(name):
    head, seen = scene(name)
    landscape = seen._replace(meta=META | dict(img_shape=(40, 64)))
    for picture in head_views.view_of(head)(head, landscape, CLASSES, 0.0):
        assert decoded(picture.data).shape == (240, 384, 3)


@pytest.mark.parametrize('name', HEADS)
def test_views_of_an_image_without_objects(name):
    head, seen = scene(name)
    empty = seen._replace(objects=InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)))
    assert head_views.view_of(head)(head, empty, CLASSES, 0.5)


def test_a_peak_is_marked_where_it_is():
    """Two peaks; the one above the threshold changes the picture around it, the other does not."""
    heat, image = torch.full((1, 1, 16, 16), -20.0), np.zeros((384, 384, 3), np.uint8)
    seen, none = Seen(image, InstanceData(), None, META | dict(img_shape=(384, 384))), torch.zeros(0, 2)
    plain = decoded(head_views.draw_heat(seen, heat, [], none, CLASSES))
    marked = decoded(head_views.draw_heat(seen, heat, [Peak(100, 200, 0.9, 0, [])], none, CLASSES))
    changed = np.abs(marked - plain).max(-1) > 60
    rows, columns = np.nonzero(changed)
    assert rows.min() > 170 and rows.max() < 215 and columns.min() > 85 and columns.max() < 200
    assert changed[200, 93] and changed[200, 107]  # the circle


def test_heads_of_others_have_no_view():
    assert head_views.view_of(torch.nn.Conv2d(1, 1, 1)) is None and head_views.view_of(None) is None
