"""Each problem of a dataset is reported with its file."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdet_kpheads.data import check
from mmdet_kpheads.data.annotations import AnnotatedImage, AnnotationFile, read_coco, read_voc
from mmdet_kpheads.data.dataset_sources import class_tuple, dataset_sources
from mmdet_kpheads.data.image_files import image_file_problems
from mmdet_kpheads.errors import InputError

XML = """<annotation><size><width>100</width><height>80</height></size>
<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>11</ymin><xmax>51</xmax><ymax>41</ymax></bndbox></object>
</annotation>"""


def write_coco(folder, annotations=None, classes=('cat', 'dog'), name='a.jpg', images=1):
    (folder / 'images').mkdir(exist_ok=True)
    cv2.imwrite(str(folder / 'images/a.jpg'), np.zeros((80, 100, 3), np.uint8))
    box = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [10, 10, 40, 30], 'area': 1200}
    content = {
        'images': [{'id': 1, 'file_name': name, 'width': 100, 'height': 80}][:images],
        'annotations': [box] if annotations is None else [{**box, **change} for change in annotations],
        'categories': [{'id': index, 'name': text} for index, text in enumerate(classes, 1)],
    }
    (folder / 'a.json').write_text(json.dumps(content))
    return coco_cfg(folder)


def coco_cfg(folder, classes=('cat', 'dog')):
    return {
        'type': 'CocoDataset',
        'data_root': str(folder),
        'ann_file': 'a.json',
        'data_prefix': {'img': 'images'},
        'metainfo': {'classes': classes},
    }


def write_voc(folder, name='cat', x='11', text=None):
    for part in ('JPEGImages', 'Annotations'):
        (folder / part).mkdir()
    (folder / 'list.txt').write_text('a\n')
    (folder / 'Annotations/a.xml').write_text(text or XML.format(name=name, x=x))
    cv2.imwrite(str(folder / 'JPEGImages/a.jpg'), np.zeros((80, 100, 3), np.uint8))
    meta = {'classes': ('cat', 'dog')}
    root = {'data_root': str(folder), 'data_prefix': {'sub_data_root': ''}}
    return {'type': 'XMLDataset', 'ann_file': 'list.txt', 'metainfo': meta} | root


def test_valid_dataset_passes(tmp_path):
    (found,) = check.require_readable(write_coco(tmp_path))
    assert found.images[0].boxes == [[10, 10, 50, 40]] and found.images[0].names == ['cat']
    assert not list(check.problems(found, ('cat', 'dog'))) and not list(image_file_problems(found.images))


def test_coco_and_voc_have_the_same_boxes(tmp_path):
    (tmp_path / 'coco').mkdir(), (tmp_path / 'voc').mkdir()
    (coco,) = check.require_readable(write_coco(tmp_path / 'coco'))
    (voc,) = check.require_readable(write_voc(tmp_path / 'voc'))
    assert coco.images[0].boxes == voc.images[0].boxes and coco.images[0].size == voc.images[0].size


def test_missing_annotation_file(tmp_path):
    with pytest.raises(InputError, match=r'annotation file not found: .*a\.json'):
        check.require_readable(coco_cfg(tmp_path))


def test_broken_json_is_reported_with_file_and_position(tmp_path):
    (tmp_path / 'a.json').write_text('{"images": [],\n "annotations": [}')
    with pytest.raises(InputError, match=r'broken JSON in .*a\.json, line 2, column 18'):
        check.require_readable(coco_cfg(tmp_path))


@pytest.mark.parametrize('text', ['[]', '{}', '{"images": 3}', '{"images": [], "annotations": 3}'])
def test_other_json_is_not_a_coco_file(tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(InputError, match=r'a\.json is not a COCO file'):
        check.require_readable(coco_cfg(tmp_path))


def test_no_images_or_no_annotations(tmp_path):
    with pytest.raises(InputError, match='lists no images'):
        check.require_readable(write_coco(tmp_path, annotations=[], images=0))
    with pytest.raises(InputError, match='have no annotations'):
        check.require_readable(write_coco(tmp_path, annotations=[]))


@pytest.mark.parametrize(
    'change', [{'image_id': 7}, {'category_id': 7}, {'bbox': [1, 2, 3]}, {'bbox': None}, {'bbox': ['a', 1, 2, 3]}]
)
def test_invalid_annotation(tmp_path, change):
    with pytest.raises(InputError, match=r'annotation needs \w+, .*a\.json, annotation 1: '):
        check.require_readable(write_coco(tmp_path, annotations=[change]))


def test_annotation_without_area(tmp_path):
    write_coco(tmp_path)
    content = json.loads((tmp_path / 'a.json').read_text())
    del content['annotations'][0]['area']
    (tmp_path / 'a.json').write_text(json.dumps(content))
    with pytest.raises(InputError, match=r'annotation needs area, .*annotation 1: it has none'):
        check.require_readable(coco_cfg(tmp_path))


def test_missing_image_and_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r'image not found: .*a\.json, image 1: .*b\.jpg'):
        check.require_readable(write_coco(tmp_path, name='b.jpg'))
    with pytest.raises(InputError, match=r'image folder not found: .*nowhere'):
        check.require_readable(write_coco(tmp_path) | {'data_prefix': {'img': 'nowhere'}})


def test_wrong_class_names_are_listed_on_both_sides(tmp_path):
    write_coco(tmp_path)
    with pytest.raises(InputError, match=r"config has \('cat', 'Dog'\), the file \('cat', 'dog'\).*: \('Dog'\)"):
        check.require_readable(coco_cfg(tmp_path, ('cat', 'Dog')))


def test_subset_of_the_classes_is_accepted(tmp_path):
    write_coco(tmp_path)
    assert check.require_readable(coco_cfg(tmp_path, ('cat',)))


def test_classes_as_one_string_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"the string 'ship', .* classes = \('ship',\)"):
        class_tuple('ship')
    (tmp_path / 'names.txt').write_text('cat\ndog\n')
    assert class_tuple(str(tmp_path / 'names.txt')) == ('cat', 'dog')  # mmengine accepts a file of names


def test_wrapped_datasets_are_found(tmp_path):
    inner = coco_cfg(tmp_path)
    wrapped = {'type': 'RepeatDataset', 'dataset': {'type': 'ConcatDataset', 'datasets': [inner, inner]}}
    assert [source.path('a.json') for source in dataset_sources(wrapped)] == [tmp_path / 'a.json'] * 2


def test_other_formats_and_remote_files_are_skipped(tmp_path):
    remote = coco_cfg(tmp_path) | {'backend_args': {'backend': 'petrel'}}
    assert not list(dataset_sources({'type': 'LVISV1Dataset', 'ann_file': 'x.json'}))
    assert not list(dataset_sources(remote))


def test_class_names_default_to_those_of_the_dataset_class():
    (source,) = dataset_sources({'type': 'VOCDataset', 'ann_file': 'x.txt'})
    assert source.is_voc and len(source.classes) == 20


def test_voc_without_a_known_class(tmp_path):
    with pytest.raises(InputError, match=r"not found there: \('cat', 'dog'\)"):
        check.require_readable(write_voc(tmp_path, name='Cat'))


def test_objects_of_unknown_classes_are_counted(tmp_path):
    write_voc(tmp_path, name='horse')
    annotations = read_voc(tmp_path / 'list.txt', tmp_path / 'JPEGImages', tmp_path / 'Annotations')
    assert check.class_counts(annotations, ('cat',)) == {'cat': 0, 'horse': 1}
    assert '  horse: 1 (not in the config)' in check.report(annotations, ('cat',))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('<annotation><size>', r'broken XML in .*a\.xml: .*line 1'),
        (XML.format(name='cat', x=''), r"a\.xml, object 1: <xmin> must be a finite number .* is ''"),
    ],
)
def test_broken_xml_is_reported_with_its_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        check.require_readable(write_voc(tmp_path, text=text))


@pytest.mark.parametrize(
    ('box', 'problem'),
    [
        ([10, 10, 20, 20], None),
        ([0, 0, 100, 80], None),
        ([20, 10, 10, 20], 'reversed'),
        ([10, 10, 10, 20], 'no area'),
        ([100, 10, 120, 20], 'outside'),
        ([-5, 10, 20, 20], 'beyond'),
        ([-0.49, 10, 20, 80.49], None),  # rounded coordinates
        ([10, 10, 100.51, 20], 'beyond'),
        ([10, -0.51, 20, 20], 'beyond'),
        ([10, 10, 20, 80.51], 'beyond'),
        ([10, 10, 10.5, 20], 'narrower'),
        ([10, float('nan'), 20, 20], 'not finite'),
    ],
)
def test_box_problems(box, problem):
    found = check.box_problem(box, (100, 80))
    assert (found is None) if problem is None else (problem in str(found))


def test_report_lists_every_problem(tmp_path):
    boxes = [[10, 10, -5, 5], [10, 10, 0, 5], [200, 10, 5, 5], [90, 10, 20, 5], [1, 1, 0.5, 9]]
    write_coco(tmp_path, annotations=[{'id': index, 'bbox': box} for index, box in enumerate(boxes, 1)])
    annotations = read_coco(tmp_path / 'a.json', tmp_path)
    text = check.report(annotations, ('dog',)) + check.problem_list(check.problems(annotations, ('dog',)), None)
    for problem in ('reversed', 'no area', 'outside', 'beyond', 'narrower', 'class is not in the config'):
        assert problem in text
    assert '5 objects' in text and 'cat: 5 (not in the config)' in text
    assert "  without objects: ('dog')" in text


def test_objects_in_one_cell():
    """Centers (10, 10) and (11, 11) are cell (2, 2) at stride 4; (12, 10) is cell (3, 2); the dog is another class."""
    boxes = [[0.0, 0.0, 20.0, 20.0], [1.0, 1.0, 21.0, 21.0], [2.0, 0.0, 22.0, 20.0], [0.0, 0.0, 20.0, 20.0]]
    image = AnnotatedImage(Path('a.jpg'), (100, 80), boxes, ['cat', 'cat', 'cat', 'dog'])
    assert check.count_shared_cells(image, stride=4) == 1
    assert check.count_shared_cells(image, stride=4, longer_side=50) == 2  # at half the size all three are cell (1, 1)
    annotations = AnnotationFile(Path('a.json'), ('cat', 'dog'), [image])
    assert '1 objects (25.00%) share class and center cell at stride 4' in check.report(annotations, ('cat', 'dog'))


def test_empty_and_unreadable_images_and_wrong_sizes_are_reported(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((80, 100, 3), np.uint8))
    (tmp_path / 'b.jpg').write_text('no image')
    images = [AnnotatedImage(tmp_path / name, (10, 10), entry=name) for name in ('a.jpg', 'b.jpg')]
    annotations = AnnotationFile(tmp_path / 'a.json', (), images)
    sizeless = AnnotatedImage(tmp_path / 'a.jpg', (0, 0), [[0, 0, 1, 1]], ['cat'], [False])
    no_size = AnnotationFile(tmp_path / 'a.json', (), [sizeless])
    assert [problem.kind for problem in check.problems(no_size, ('cat',))] == ['image without a size']
    assert [problem.kind for problem in check.problems(annotations, ())] == ['image without objects'] * 2
    first, second = image_file_problems(images)
    assert first.where == 'a.jpg' and 'a.jpg is 100 x 80, but annotated as 10 x 10' in first.value
    assert second.where == 'b.jpg' and 'cannot decode' in second.value


def test_problems_are_listed_by_kind_up_to_a_limit():
    found = [check.Problem('narrow', f'image {index}', fatal=False) for index in range(3)]
    text = check.problem_list([*found, check.Problem('image not found', 'image 9', 'x.jpg')], 2)
    assert text.splitlines() == [
        '  ERROR: image not found (1)',
        '    image 9: x.jpg',
        '  warning: narrow (3)',
        '    image 0',
        '    image 1',
        '    ... and 1 more',
    ]
    assert 'image 2' in check.problem_list(found, None) and 'no problems' in check.problem_list([], 2)


def test_folders_that_mmdet_would_not_join_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"list\.txt has no 'sub_data_root'"):
        check.require_readable(write_voc(tmp_path) | {'data_prefix': {}})


def test_the_trainer_is_told_how_many_errors_there_are(tmp_path):
    annotations = [{'id': index, 'area': None} for index in range(3)]
    with pytest.raises(InputError, match=r'annotation 0: None \(and 2 more errors: mmdet-kpheads check-dataset'):
        check.require_readable(write_coco(tmp_path, annotations=annotations))
