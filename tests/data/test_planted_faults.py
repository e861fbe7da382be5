"""Each fault planted into a small dataset is named with its place; fatal ones stop the training before its first step.

A fault is fatal for the check wherever mmdet's dataset or its loading transforms stop.
"""

import json
import os
import re
import shutil
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from mmdet_kpheads.data import check
from mmdet_kpheads.data.dataset_sources import dataset_sources
from mmdet_kpheads.data.digits import CLASSES, IMAGE_FOLDER, VOC_FOLDER, write_digits
from mmdet_kpheads.data.image_files import file_problem
from mmdet_kpheads.errors import InputError

pytest.importorskip('sklearn')

FATAL, WARNING = True, False
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
FILTER = dict(filter_empty_gt=True, min_size=32)
OPENED = 'image cannot be used|another size'  # what only an opened image shows
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    """Four images of 96 x 96 pixels with two digits each."""
    root = tmp_path_factory.mktemp('clean')
    write_digits(root, 4, 1, objects=2, size=96)
    return root


@pytest.fixture
def data(clean, tmp_path):
    """A copy of the clean dataset, as paths."""
    root = tmp_path / 'digits'
    shutil.copytree(clean, root)
    voc = root / VOC_FOLDER
    return SimpleNamespace(
        root=root,
        json=root / 'annotations/train.json',
        images=root / IMAGE_FOLDER,
        image=root / IMAGE_FOLDER / 'train_00001.jpg',
        list=voc / 'ImageSets/Main/train.txt',
        xml=voc / 'Annotations/train_00001.xml',
    )


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Open the images in this process: test_image_files.py starts the others."""

    def problems(images, decoding):
        return [problem for image in images if (problem := file_problem(image, decoding))]

    monkeypatch.setattr(check, 'image_file_problems', problems)


def coco(data):
    return dict(type='CocoDataset', ann_file=str(data.json), data_prefix=dict(img=str(data.images))) | common()


def voc(data):
    root = str(data.root / VOC_FOLDER)
    return (
        dict(type='XMLDataset', data_root=root, ann_file='ImageSets/Main/train.txt', data_prefix=dict(sub_data_root=''))
        | common()
    )


def common():
    return dict(metainfo=dict(classes=CLASSES), pipeline=PIPELINE, filter_cfg=FILTER, serialize_data=False)


def findings(cfg, open_images=True):
    """The problems of a dataset by severity, as lines."""
    (source,) = dataset_sources(cfg)
    try:
        found = check.all_problems(source.read(), source, open_images)
    except InputError as error:
        return {FATAL: [str(error)], WARNING: []}
    return {fatal: [str(problem) for problem in found if problem.fatal is fatal] for fatal in (FATAL, WARNING)}


def trainer_stops(cfg):
    """Whether mmdet's dataset cannot be built or loaded."""
    try:
        dataset = DATASETS.build(cfg)
        for index in range(len(dataset)):
            dataset[index]
    except Exception:
        return True
    return False


def verify(cfg, words, fatal, hangs=False):
    """One finding has the words; the training stops for a fatal one, and wherever mmdet stops."""
    found = findings(cfg)
    named = [line for line in found[fatal] if re.search(words, line)]
    assert named, found
    assert all('\n' not in line and line.isprintable() for lines in found.values() for line in lines)
    assert len(found[FATAL]) == (1 if fatal else 0), found[FATAL]  # and nothing is invented
    stops_before_training(cfg, words, fatal)
    if not hangs:
        assert not trainer_stops(cfg) or fatal


def stops_before_training(cfg, words, fatal):
    """The check of the trainer, which opens no image, reports the same."""
    if fatal and not re.search(OPENED, ' '.join(findings(cfg)[FATAL])):
        with pytest.raises(InputError, match=words):
            check.require_readable(cfg)
    else:
        check.require_readable(cfg)


# of the JSON: a change of the content, and of its first image, annotation or category
def image(**change):
    return lambda content: content['images'][1].update(change)


def annotation(**change):
    return lambda content: content['annotations'][2].update(change)


def bbox(*values):
    return annotation(bbox=list(values))


def without(key, index, name):
    return lambda content: content[key][index].pop(name)


def crowds(first, last):
    return lambda content: [entry.update(iscrowd=1) for entry in content['annotations'][first:last]]


def added(key, entry):
    return lambda content: content[key].append(entry)


NAN, INF = float('nan'), float('inf')
ENTRY = {'id': 1, 'file_name': 'train_00001.jpg', 'width': 96, 'height': 96}
IN_JSON = {
    'width is a string': (image(width='96'), r"image needs width.*train\.json, image 2: '96'", FATAL),
    'width is null': (image(width=None), r'needs width.*image 2: None', FATAL),
    'width is missing': (without('images', 1, 'width'), r'needs width.*image 2: it has none', FATAL),
    'height is NaN': (image(height=NAN), r'needs height.*image 2: nan', FATAL),
    'height is infinite': (image(height=INF), r'needs height.*image 2: inf', FATAL),
    'width is a list': (image(width=[96]), r'needs width.*image 2: \[96\]', FATAL),
    'width is true': (image(width=True), r'needs width.*image 2: True', FATAL),
    'size is absurd': (image(width=10**9, height=10), r'needs width.*up to 1048576.*image 2: 1000000000', FATAL),
    'size is beyond floats': (image(width=10**400), r'needs width.*image 2: 1000', FATAL),
    'width is zero': (image(width=0), r'image without a size: .*image 2', WARNING),
    'height is negative': (image(height=-96), r'image without a size: .*image 2', WARNING),
    'size is not that of the file': (image(width=95), r'another size.*image 2.*is 96 x 96, .*as 95 x 96', FATAL),
    'file name is null': (image(file_name=None), r'needs file_name.*image 2', FATAL),
    'file name is a number': (image(file_name=7), r'needs file_name.*image 2: 7', FATAL),
    'file name is missing': (without('images', 1, 'file_name'), r'needs file_name.*image 2', FATAL),
    'file name is empty': (image(file_name=''), r'needs file_name.*image 2', FATAL),
    'file name leaves the folder': (
        image(file_name='../JPEGImages/train_00001.jpg'),
        r'path leaves the image folder.*image 2: .*\.\.',
        WARNING,
    ),
    'image is missing': (image(file_name='x.jpg'), r'image not found: .*image 2: .*/x\.jpg', FATAL),
    'image folder is missing': (image(file_name='no/x.jpg'), r'folder not found: .*image 2: .*JPEGImages/no', FATAL),
    'image has another extension': (image(file_name='train_00001.png'), r'not found.*train_00001\.jpg.*rename', FATAL),
    'file name has a line end': (image(file_name='a\nb.jpg'), r'image not found: .*image 2: .*a\\nb\.jpg', FATAL),
    'file name has a null byte': (image(file_name='a\0b.jpg'), r'image not found: .*image 2: .*a\\x00b', FATAL),
    'file name is half a character': (image(file_name='\ud800.jpg'), r'image not found: .*image 2: .*\\ud800', FATAL),
    'file name is not UTF-8': (image(file_name='\udcff.jpg'), r'image not found: .*image 2: .*\\udcff', FATAL),
    'file name is very long': (image(file_name='a' * 9999), r'image not found: .*image 2: .*aaa\.\.\.aaa', FATAL),
    'image id is used twice': (added('images', ENTRY), r'id of image is used twice: .*train\.json, image 1', FATAL),
    'image id is null': (added('images', ENTRY | {'id': None}), r"image needs an id.*images\[4\].*'id': None", FATAL),
    'image is a text': (added('images', 'x.jpg'), r"image needs an id.*images\[4\]: 'x\.jpg'", FATAL),
    'bbox is of strings': (bbox('1', '2', '3', '4'), r"annotation needs bbox.*annotation 3: \['1'", FATAL),
    'bbox is null': (annotation(bbox=None), r'needs bbox, four.*annotation 3: None', FATAL),
    'bbox is missing': (without('annotations', 2, 'bbox'), r'needs bbox.*annotation 3: it has none', FATAL),
    'bbox is a number': (annotation(bbox=4), r'needs bbox.*annotation 3: 4', FATAL),
    'bbox has three numbers': (bbox(1, 2, 3), r'needs bbox.*annotation 3: \[1, 2, 3\]', FATAL),
    'bbox has a NaN': (bbox(NAN, 2, 3, 4), r'needs bbox.*annotation 3: \[nan', FATAL),
    'bbox is infinite': (bbox(1, 2, INF, 4), r'needs bbox.*annotation 3: .*inf', FATAL),
    'bbox is absurd': (bbox(1, 2, 1e300, 4), r'needs bbox.*annotation 3: .*1e\+300', FATAL),
    'bbox is deep': (bbox(1, 2, 3, [[[[[[[[]]]]]]]]), r'needs bbox.*annotation 3: .*\[\[', FATAL),
    'box has a negative width': (bbox(50, 50, -9, 9), r'reversed corners: .*annotation 3: ', WARNING),
    'box has no area': (bbox(50, 50, 0, 9), r'no area: .*annotation 3: ', WARNING),
    'box is outside': (bbox(500, 50, 9, 9), r'outside the image: .*annotation 3: ', WARNING),
    'box extends beyond the image': (bbox(90, 50, 9, 9), r'beyond the image: .*annotation 3: ', WARNING),
    'box is narrow': (bbox(50, 50, 0.5, 9), r'narrower than a pixel: .*annotation 3: ', WARNING),
    'area is a string': (annotation(area='9'), r"needs area, a finite.*annotation 3: '9'", FATAL),
    'area is null': (annotation(area=None), r'needs area.*annotation 3: None', FATAL),
    'area is missing': (without('annotations', 2, 'area'), r'needs area.*annotation 3: it has none', FATAL),
    'area is NaN': (annotation(area=NAN), r'needs area.*annotation 3: nan', FATAL),
    'area is zero': (annotation(area=0), r'area is not positive.*annotation 3', WARNING),
    'iscrowd is a text': (annotation(iscrowd='0'), r"needs iscrowd, 0 or 1.*annotation 3: '0'", FATAL),
    'iscrowd is null': (annotation(iscrowd=None), r'needs iscrowd.*annotation 3: None', FATAL),
    'all objects of an image are crowds': (crowds(2, 4), r'only crowds or difficult objects: .*image 2', WARNING),
    'all objects are crowds': (crowds(0, 8), r'dataset is empty: .*train\.json: .*crowds', FATAL),
    'annotation id is used twice': (annotation(id=1), r'id of annotation is used twice: .*annotation 1', FATAL),
    'annotation id is missing': (without('annotations', 2, 'id'), r'needs an id.*annotations\[2\]: ', FATAL),
    'annotation id is a list': (annotation(id=[1]), r'annotation needs an id.*annotations\[2\]: ', FATAL),
    'annotation is null': (added('annotations', None), r'needs an id.*annotations\[8\]: None', FATAL),
    'annotation of an unknown image': (annotation(image_id=77), r'needs image_id.*annotation 3: 77', FATAL),
    'annotation of no image': (annotation(image_id={}), r'needs image_id.*annotation 3: \{\}', FATAL),
    'annotation of an unknown category': (annotation(category_id=77), r'needs category_id.*annotation 3: 77', FATAL),
    'category id is a NaN': (added('categories', {'id': NAN}), r'category needs an id.*categories\[10\]: ', FATAL),
    'category name is used twice': (
        added('categories', {'id': 11, 'name': 'one'}),
        r"used twice: .*train\.json: \('one'\)",
        FATAL,
    ),
    'category id is used twice': (added('categories', {'id': 1, 'name': 'x'}), r'used twice: .*category 1', FATAL),
    'category is nameless': (added('categories', {'id': 11, 'name': None}), r'needs name.*category 11: None', FATAL),
    'category has no name': (added('categories', {'id': 11}), r'needs name.*category 11: it has none', FATAL),
    'image without objects': (lambda content: content['annotations'].__delitem__(slice(2, 4)), 'without obj', WARNING),
}


def plant_in_json(data, change):
    content = json.loads(data.json.read_text())
    change(content)
    data.json.write_text(json.dumps(content))


@pytest.mark.parametrize('name', IN_JSON)
def test_faults_in_coco_entries(data, name):
    change, words, fatal = IN_JSON[name]
    plant_in_json(data, change)
    verify(coco(data), words, fatal)


def rewrite(key, write):
    """Change one file: ``write`` gets its path."""
    return lambda data: write(getattr(data, key))


def replaced(old, new):
    def write(path):
        text = path.read_text()
        assert re.search(old, text)
        path.write_text(re.sub(old, lambda match: new, text, count=1))

    return write


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def device(path):
    path.unlink()
    path.symlink_to('/dev/zero')


def bytes_of(content):
    return lambda path: path.write_bytes(content)


def huge(path):
    os.truncate(path, 2**42)


def png_of(width, height):
    """The smallest PNG that claims a size."""
    parts = (
        (b'IHDR', struct.pack('>2I5B', width, height, 8, 2, 0, 0, 0)),
        (b'IDAT', zlib.compress(b'')),
        (b'IEND', b''),
    )
    chunks = [
        struct.pack('>I', len(part)) + kind + part + struct.pack('>I', zlib.crc32(kind + part)) for kind, part in parts
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as picture:
        picture.load()
    picture.save(path, exif=exif)


def renamed(suffix):
    return lambda path: path.rename(path.with_suffix(suffix))


def prefixed(text):
    return lambda path: path.write_bytes(text + path.read_bytes())


def listed_too(name):
    return lambda path: path.write_text(path.read_text() + name)


HANGS = True
FILES: dict[str, Any] = {
    'JSON is truncated': (coco, rewrite('json', cut), r'broken JSON in .*train\.json, line 1, column \d+', FATAL),
    'JSON is empty': (coco, rewrite('json', bytes_of(b'')), r'broken JSON in .*train\.json, line 1', FATAL),
    'JSON has a BOM': (coco, rewrite('json', prefixed(b'\xef\xbb\xbf')), r'train\.json, line 1.*BOM', FATAL),
    'JSON is deep': (coco, rewrite('json', bytes_of(b'[' * 100_000)), r'train\.json: it is nested too deeply', FATAL),
    'JSON is a list': (coco, rewrite('json', bytes_of(b'[]')), r'train\.json is not a COCO file', FATAL),
    'JSON is Latin-1': (coco, rewrite('json', bytes_of(b'{\n"\xe9": 1}')), r'not UTF-8.*train\.json, line 2', FATAL),
    'JSON has 5000 digits': (coco, rewrite('json', bytes_of(b'[' + b'1' * 5000 + b']')), r'train\.json', FATAL),
    'JSON is a pipe': (coco, rewrite('json', fifo), r'not a regular file: .*train\.json', FATAL, HANGS),
    'JSON is a folder': (coco, rewrite('json', folder), r'not a regular file: .*train\.json', FATAL),
    'JSON is a device': (coco, rewrite('json', device), r'not a regular file: .*train\.json', FATAL, HANGS),
    'JSON is huge': (coco, rewrite('json', huge), r'bytes, more than .*train\.json', FATAL, HANGS),
    'image is empty': (coco, rewrite('image', bytes_of(b'')), r'file is empty: .*image 2: .*00001\.jpg', FATAL),
    'image is truncated': (coco, rewrite('image', cut), r'image 2: .*00001\.jpg: cv2 cannot decode', FATAL),
    'image is a text': (coco, rewrite('image', bytes_of(b'<html>')), r'image 2: .*cv2 cannot decode', FATAL),
    'image is a pipe': (coco, rewrite('image', fifo), r'not a regular file: .*image 2: .*00001\.jpg', FATAL, HANGS),
    'image is a folder': (coco, rewrite('image', folder), r'not a regular file: .*image 2: .*00001\.jpg', FATAL),
    'image is a device': (coco, rewrite('image', device), r'not a regular file: .*image 2', FATAL, HANGS),
    'image is huge': (coco, rewrite('image', huge), r'image 2.*bytes, more than .*00001\.jpg', FATAL, HANGS),
    'image is a bomb': (coco, rewrite('image', bytes_of(png_of(60000, 60000))), r'image 2: .*cv2 cannot', FATAL),
    'image is turned': (coco, rewrite('image', turned), r'turned on loading.*image 2: .*orientation 6', WARNING),
    'image is .JPG': (voc, rewrite('image', renamed('.JPG')), r"not found: .*00001\.xml: .*'train_00001\.JPG'", FATAL),
    'XML is truncated': (voc, rewrite('xml', cut), r'train\.txt, line 2: broken XML in .*00001\.xml: .*line 1', FATAL),
    'XML is empty': (voc, rewrite('xml', bytes_of(b'')), r'train\.txt, line 2: broken XML in .*00001\.xml', FATAL),
    'XML is a pipe': (voc, rewrite('xml', fifo), r'train\.txt, line 2: .*not a regular .*00001\.xml', FATAL, HANGS),
    'XML is an entity bomb': (voc, rewrite('xml', prefixed(BOMB.encode())), r'line 2: .*00001\.xml: .*DOCTYPE', FATAL),
    'XML reads another file': (voc, rewrite('xml', prefixed(OUTSIDE.encode())), r'00001\.xml: .*DOCTYPE', FATAL),
    'XML has an unknown encoding': (
        voc,
        rewrite('xml', prefixed(b'<?xml version="1.0" encoding="x-y"?>')),
        r'line 2: broken XML in .*00001\.xml',
        FATAL,
    ),
    'XML is not UTF-8': (voc, rewrite('xml', bytes_of(b'<a>\xe9</a>')), r'line 2: broken XML in .*00001\.xml', FATAL),
    'XML has no size': (voc, rewrite('xml', replaced('<size>.*</size>', '')), r'without a size: .*00001\.xml', WARNING),
    'XML has no width': (
        voc,
        rewrite('xml', replaced('<width>96</width>', '')),
        r'00001\.xml: <width> .*missing',
        FATAL,
    ),
    'width is a word': (voc, rewrite('xml', replaced('<width>96', '<width>96px')), r"<width> .*'96px'", FATAL),
    'width has decimals': (voc, rewrite('xml', replaced('<width>96', '<width>96.0')), r"<width> .*'96\.0'", FATAL),
    'width is absurd': (voc, rewrite('xml', replaced('<width>96', '<width>999999999')), r'<width> .*99', FATAL),
    'corner is missing': (
        voc,
        rewrite('xml', replaced('<xmax>.*?</xmax>', '')),
        r'object cannot be used: .*00001\.xml, object 1: <xmax> .*missing',
        FATAL,
    ),
    'corner is empty': (
        voc,
        rewrite('xml', replaced('<xmax>.*?</xmax>', '<xmax/>')),
        r"object 1: <xmax> .*is ''",
        FATAL,
    ),
    'corner is NaN': (voc, rewrite('xml', replaced('<xmin>', '<xmin>nan</xmin><xmin>')), r"object 1: .*'nan'", FATAL),
    'corner is infinite': (voc, rewrite('xml', replaced('<ymin>', '<ymin>1e999</ymin><ymin>')), r"'1e999'", FATAL),
    'corner is absurd': (voc, rewrite('xml', replaced('<ymin>', '<ymin>1e30</ymin><ymin>')), r"'1e30'", FATAL),
    'box is missing': (voc, rewrite('xml', replaced('<bndbox>.*?</bndbox>', '')), r'object 1: .*no <bndbox>', FATAL),
    'name is missing': (voc, rewrite('xml', replaced('<name>.*?</name>', '')), r'object 1: .*no <name>', FATAL),
    'name is unknown': (voc, rewrite('xml', replaced('<name>', '<name>x')), r'class is not .*, object 1: ', WARNING),
    'difficult is a word': (
        voc,
        rewrite('xml', replaced('<difficult>0', '<difficult>yes')),
        r"00001\.xml, object 1: <difficult> .*'yes'",
        FATAL,
    ),
    'all objects are difficult': (
        voc,
        rewrite('xml', lambda path: path.write_text(path.read_text().replace('<difficult>0', '<difficult>1'))),
        r'only crowds or difficult objects: .*00001\.xml',
        WARNING,
    ),
    'list names no annotation': (voc, rewrite('list', listed_too('x')), r'line 5: .*not found: .*/x\.xml', FATAL),
    'list has a name twice': (voc, rewrite('list', listed_too('train_00001')), r'twice: .*line 5: .*line 2', WARNING),
    'list has a blank line': (voc, rewrite('list', prefixed(b'\n')), r'blank line: .*train\.txt, line 1', FATAL),
    'list ends in a blank line': (voc, rewrite('list', listed_too('\n')), r'blank line: .*train\.txt, line 5', FATAL),
    'list has a BOM': (voc, rewrite('list', prefixed(b'\xef\xbb\xbf')), r'byte order mark.*train\.txt, line 1', FATAL),
    'list has trailing spaces': (voc, rewrite('list', replaced('1\n', '1 \n')), r"white space.*line 2: '.*1 '", FATAL),
    'list is Latin-1': (voc, rewrite('list', prefixed(b'\xe9\n')), r'not UTF-8.*train\.txt, line 1', FATAL),
    'list is a pipe': (voc, rewrite('list', fifo), r'not a regular file: .*train\.txt', FATAL, HANGS),
    'list is missing': (voc, rewrite('list', os.remove), r'image list not found: .*train\.txt', FATAL),
    'list leaves the folder': (
        voc,
        rewrite('list', replaced('train_00001', '../JPEGImages/../JPEGImages/train_00001')),
        r'train\.txt, line 2: .*not found: .*\.\.',
        FATAL,
    ),
}


@pytest.mark.parametrize('name', FILES)
def test_faults_in_files(data, name):
    dataset, plant, words, fatal, *hangs = FILES[name]
    plant(data)
    verify(dataset(data), words, fatal, bool(hangs))


@pytest.mark.parametrize('dataset', [coco, voc])
def test_nothing_is_found_in_clean_data(data, dataset):
    assert findings(dataset(data)) == {FATAL: [], WARNING: []}
    assert not trainer_stops(dataset(data))


def saved(suffix, change):
    """Give the second image another extension and content."""

    def plant(data):
        pixels = change(cv2.imread(str(data.image)))
        data.image.unlink()
        path = data.image.with_suffix(suffix)
        if path.suffix != data.image.suffix:
            plant_in_json(data, image(file_name=path.name))
        cv2.imencode(suffix, pixels)[1].tofile(path)

    return plant


def rename_all(new):
    def plant(data):
        data.image.rename(data.image.with_stem(new)), data.xml.rename(data.xml.with_stem(new))
        data.list.write_text(data.list.read_text().replace('train_00001', new))

    return plant


def latin1(path):
    text = path.read_text().replace('<filename>', '<source>ol\xe9</source><filename>')
    path.write_bytes(b'<?xml version="1.0" encoding="ISO-8859-1"?>' + text.encode('latin-1'))


VALID = {
    'gray': (coco, saved('.jpg', lambda pixels: pixels[..., 0])),
    'RGBA': (coco, saved('.png', lambda pixels: np.dstack([pixels, pixels[..., 0]]))),
    '16 bits': (coco, saved('.png', lambda pixels: pixels.astype(np.uint16) * 257)),
    'upper-case extension': (coco, saved('.JPG', lambda pixels: pixels)),
    'name with a space': (voc, rename_all('train 1')),
    'name that is not ASCII': (voc, rename_all('ol\xe9')),
    'Latin-1 XML': (voc, rewrite('xml', latin1)),
    'other extension in filename': (voc, rewrite('xml', replaced(r'1\.jpg', '1.JPEG'))),
    'XML with a BOM': (voc, rewrite('xml', prefixed(b'\xef\xbb\xbf'))),
    'Windows line ends': (
        voc,
        rewrite('list', lambda path: path.write_bytes(path.read_bytes().replace(b'\n', b'\r\n'))),
    ),
    'iscrowd is missing': (coco, lambda data: plant_in_json(data, without('annotations', 2, 'iscrowd'))),
}


@pytest.mark.parametrize('name', VALID)
def test_valid_data_is_accepted(data, name):
    dataset, plant = VALID[name]
    plant(data)
    assert findings(dataset(data)) == {FATAL: [], WARNING: []}
    assert not trainer_stops(dataset(data))
