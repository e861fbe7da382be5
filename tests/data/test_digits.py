"""The demo dataset is reproducible, has tight boxes and shares nothing between training and validation."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from pycocotools.coco import COCO

from mmdet_kpheads.data import digits

pytest.importorskip('sklearn')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('digits')
    digits.write_digits(path, num_train=12, num_val=6)
    return path


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob('*')) if file.is_file()}


def test_equal_seeds_write_equal_files(folder, tmp_path):
    digits.write_digits(tmp_path / 'again', num_train=12, num_val=6)
    digits.write_digits(tmp_path / 'other', num_train=12, num_val=6, seed=1)
    assert files(tmp_path / 'again') == files(folder)
    assert files(tmp_path / 'other') != files(folder)


def test_training_and_validation_share_no_digit_and_no_background():
    train, val = digits.load_source_images(seed=0)
    assert len(train.digits) + len(val.digits) == 1797
    # scans may be duplicated in the source, but no entry is in both splits
    assert set(train.labels) == set(val.labels) == set(range(10))
    widths = [left.shape[1] + right.shape[1] for left, right in zip(train.photos, val.photos, strict=True)]
    assert widths == [640, 640]


@pytest.mark.parametrize('split', ['train', 'val'])
def test_boxes_are_inside_the_image_and_have_area(folder, split):
    content = json.loads((folder / f'annotations/{split}.json').read_text())
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    for annotation in content['annotations']:
        x, y, width, height = annotation['bbox']
        image_width, image_height = sizes[annotation['image_id']]
        assert min(x, y) >= 0 and min(width, height) > 4
        assert x + width <= image_width and y + height <= image_height
    assert {annotation['image_id'] for annotation in content['annotations']} == set(sizes)


def test_each_class_is_its_own_supercategory(folder):
    """Upstream's coco_error_analysis.py looks for the classes of the same one."""
    found = COCO(folder / 'annotations/train.json')
    for category in found.loadCats(found.getCatIds()):
        assert found.getCatIds(supNms=[category['supercategory']]) == [category['id']]


def test_box_is_tight_around_the_ink():
    rng = np.random.default_rng(0)
    digit = digits.load_source_images(seed=0)[0].digits[0]
    ink = digits.draw_digit(digit, rng) > digits.INK_THRESHOLD
    assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()


def test_digits_do_not_overlap(folder):
    content = json.loads((folder / 'annotations/train.json').read_text())
    for image in content['images']:
        boxes = [a['bbox'] for a in content['annotations'] if a['image_id'] == image['id']]
        corners = [np.array([x, y, x + w, y + h]) for x, y, w, h in boxes]
        assert not any(digits.overlaps(box, corners[:index]) for index, box in enumerate(corners))


def test_one_object_per_image(tmp_path):
    digits.write_digits(tmp_path, num_train=5, num_val=2, objects=1)
    content = json.loads((tmp_path / 'annotations/train.json').read_text())
    assert len(content['annotations']) == len(content['images']) == 5


def test_coco_and_voc_annotations_agree(folder):
    shared = {'metainfo': {'classes': digits.CLASSES}, 'data_root': str(folder), 'pipeline': []}
    coco_prefix, voc_prefix = {'img': digits.IMAGE_FOLDER}, {'sub_data_root': digits.VOC_FOLDER}
    coco = DATASETS.build(dict(type='CocoDataset', ann_file='annotations/val.json', data_prefix=coco_prefix, **shared))
    voc = DATASETS.build(
        dict(type='XMLDataset', ann_file='VOC2007/ImageSets/Main/val.txt', data_prefix=voc_prefix, **shared)
    )
    assert len(coco) == len(voc) == 6
    for index in range(len(coco)):
        ours, theirs = coco.get_data_info(index), voc.get_data_info(index)
        assert Path(ours['img_path']) == Path(theirs['img_path'])
        assert [(i['bbox'], i['bbox_label']) for i in ours['instances']] == [
            (i['bbox'], i['bbox_label']) for i in theirs['instances']
        ]


def test_images_have_the_annotated_size(folder):
    image = json.loads((folder / 'annotations/val.json').read_text())['images'][0]
    pixels = cv2.imread(str(folder / digits.IMAGE_FOLDER / image['file_name']))
    assert pixels.shape == (image['height'], image['width'], 3) == (128, 128, 3)
