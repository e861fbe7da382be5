"""A COCO file that the check has parsed is not parsed again by the dataset and the metric."""

import json

import pytest
from pycocotools import coco

from mmdet_kpheads.compat import shared_annotations
from mmdet_kpheads.data.annotations import read_coco

CONTENT = {
    'images': [{'id': 1, 'file_name': 'a.jpg', 'width': 40, 'height': 30}],
    'annotations': [{'id': 5, 'image_id': 1, 'category_id': 2, 'bbox': [1, 2, 10, 12], 'area': 120, 'iscrowd': 0}],
    'categories': [{'id': 2, 'name': 'cat'}],
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(CONTENT))
    return path


def test_pycocotools_takes_what_the_check_has_parsed(path, tmp_path):
    with shared_annotations.sharing():
        read_coco(path, tmp_path)
        first, second = coco.COCO(path), coco.COCO(str(path))
    assert first.dataset == CONTENT
    assert first.dataset is second.dataset
    assert first.getAnnIds() == [5]


def test_a_file_that_changed_is_parsed_again(path, tmp_path):
    with shared_annotations.sharing():
        read_coco(path, tmp_path)
        path.write_text(json.dumps(CONTENT | {'annotations': []}))
        assert coco.COCO(path).getAnnIds() == []


def test_a_file_that_was_not_checked_is_parsed(path):
    with shared_annotations.sharing():
        first, second = coco.COCO(path), coco.COCO(path)
    assert first.dataset == CONTENT and first.dataset is not second.dataset


def test_nothing_is_kept_when_all_is_built(path, tmp_path):
    with shared_annotations.sharing():
        read_coco(path, tmp_path)
        kept = coco.COCO(path).dataset
        shared_annotations.forget()
        assert coco.COCO(path).dataset is not kept


def test_nothing_is_shared_outside(path, tmp_path):
    with pytest.raises(RuntimeError, match='inside'), shared_annotations.sharing():
        raise RuntimeError('inside')
    assert coco.json is json
    read_coco(path, tmp_path)
    assert coco.COCO(path).dataset is not coco.COCO(path).dataset
    shared_annotations.forget()
