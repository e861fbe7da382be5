import cv2
import numpy as np
import pytest

from mmdet_kpheads.data import visualization
from mmdet_kpheads.errors import InputError


def test_boxes_are_drawn_in_place_and_invalid_ones_skipped():
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = np.array([[20, 40, 60, 80], [np.nan, 0, 1, 1]])
    drawn = visualization.draw_boxes(image, boxes, ['cat', 'bad'], visualization.GROUND_TRUTH_COLOR)
    assert not image.any()
    assert tuple(drawn[60, 20]) == tuple(drawn[80, 40]) == visualization.GROUND_TRUTH_COLOR
    assert not drawn[60, 40].any() and not drawn[90:, 90:].any()


def test_captions_are_above_the_boxes_of_others():
    image, boxes = np.zeros((100, 200, 3), np.uint8), np.array([[20, 40, 60, 80], [30, 20, 90, 90]])
    plain = visualization.draw_boxes(image, boxes[:1], ['cat'], visualization.GROUND_TRUTH_COLOR)
    both = visualization.draw_boxes(image, boxes, ['cat', ''], visualization.GROUND_TRUTH_COLOR)
    assert (both[28:39, 22:45] == plain[28:39, 22:45]).all()


def test_small_images_are_enlarged(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((128, 128, 3), np.uint8))
    image, factor = visualization.read_enlarged(tmp_path / 'a.png')
    assert factor == 3 and image.shape == (384, 384, 3)
    assert visualization.enlarge(np.zeros((300, 400, 3), np.uint8))[0].shape == (600, 800, 3)
    assert visualization.enlarge(np.zeros((384, 400, 3), np.uint8))[1] == 1
    assert visualization.enlarge(np.zeros((2, 1000, 3), np.uint8))[0].shape == (8, 4000, 3)
    assert visualization.enlarge(np.zeros((5000, 2, 3), np.uint8))[1] == 1
    with pytest.raises(InputError, match=r'b\.png'):
        visualization.read_enlarged(tmp_path / 'b.png')


def test_montage_arranges_images_in_rows():
    tiles = [np.full((10, 12, 3), value, np.uint8) for value in (1, 2, 3)]
    gap = visualization.GAP_PX
    sheet = visualization.montage(tiles, columns=2)
    assert sheet.shape == (2 * (10 + 2 * gap), 2 * (12 + 2 * gap), 3)
    assert sheet[gap, gap, 0] == 1 and sheet[gap, 12 + 3 * gap, 0] == 2 and sheet[10 + 3 * gap, gap, 0] == 3
    assert visualization.side_by_side(tiles[0], tiles[1]).shape == (10, 24 + gap, 3)


def test_the_best_box_of_an_object_is_drawn_and_on_top():
    boxes = np.array([[10, 10, 50, 50], [10, 10, 50, 51], [10, 10, 50, 51], [60, 60, 90, 90]], float)
    scores, labels = np.array([0.9, 0.8, 0.7, 0.4]), np.array([1, 1, 0, 1])
    order = visualization.drawing_order(boxes, scores, labels)
    assert order.tolist() == [3, 2, 0]  # rising score; the second box is the first again
    drawn = visualization.draw_detections(np.zeros((400, 400, 3), np.uint8), boxes * 4, scores, labels, ('a', 'b'))
    assert tuple(drawn[120, 40]) == visualization.class_color(1)
    assert visualization.drawing_order(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int)).shape == (0,)


def test_detections_of_a_small_image_are_drawn_enlarged():
    image = np.full((64, 64, 3), 255, np.uint8)
    drawn = visualization.draw_detections(image, np.array([[8, 16, 40, 48]]), np.ones(1), np.zeros(1, int), ('a',))
    assert drawn.shape == (384, 384, 3) and (image == 255).all()
    assert tuple(drawn[200, 48]) == tuple(drawn[200, 240]) == visualization.class_color(0)


def test_colors_of_classes_differ():
    colors = np.array([visualization.class_color(label) for label in range(20)], int)
    apart = np.abs(colors[:, None] - colors).sum(-1) + 999 * np.eye(20, dtype=int)
    assert apart.min() > 30
