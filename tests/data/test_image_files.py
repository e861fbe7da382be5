"""Images are opened in other processes; a crash there does not end the check."""

import os
import signal

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdet_kpheads.data import image_files
from mmdet_kpheads.data.annotations import AnnotatedImage
from mmdet_kpheads.data.image_files import Decoding, image_file_problems
from mmdet_kpheads.errors import InputError

CRASH = b'crash'


@pytest.fixture
def images(tmp_path):
    """Twelve images of 40 x 30 pixels."""
    found = []
    for index in range(12):
        path = tmp_path / f'{index}.png'
        cv2.imwrite(str(path), np.zeros((30, 40, 3), np.uint8))
        found.append(AnnotatedImage(path, (40, 30), entry=f'image {index}'))
    return found


def test_a_file_that_crashes_the_decoder_is_named(images, monkeypatch):
    decode = image_files.decode

    def fragile(content, decoding):
        if content == CRASH:
            os.kill(os.getpid(), signal.SIGSEGV)
        return decode(content, decoding)

    monkeypatch.setattr(image_files, 'decode', fragile)
    images[3].path.write_bytes(CRASH)
    images[7].path.write_bytes(b'')
    crashed, empty = image_file_problems(images)
    assert (crashed.kind, crashed.where) == ('image crashes the decoder', 'image 3') and '3.png' in crashed.value
    assert empty.where == 'image 7' and 'the file is empty' in empty.value


def test_images_are_decoded_as_the_pipeline_does(images):
    """An image annotated as it is stored fails where the decoder turns it, and passes where it does not."""
    path = images[0].path.with_suffix('.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 30)).save(path, exif=exif)
    image = AnnotatedImage(path, (40, 30), entry='image 0')
    (found,) = image_file_problems([image])
    assert 'is 30 x 40 after its EXIF orientation 6, but annotated as 40 x 30' in found.value
    assert not list(image_file_problems([image], Decoding('color_ignore_orientation')))
    image.size = (30, 40)
    assert not list(image_file_problems([image]))


def test_no_images():
    assert not list(image_file_problems([]))


@pytest.mark.parametrize(('turn', 'size'), [(1, (6, 4)), (3, (6, 4)), (6, (4, 6)), (8, (4, 6)), (9, (6, 4))])
def test_the_size_is_that_of_the_decoded_image(turn, size, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / 'a.jpg', exif=exif)
    assert image_files.image_size(tmp_path / 'a.jpg') == size
    assert image_files.decode((tmp_path / 'a.jpg').read_bytes()).shape == (*size[::-1], 3)


def test_what_has_no_size_is_named(tmp_path, monkeypatch):
    (tmp_path / 'a.jpg').write_text('no pixels')
    with pytest.raises(InputError, match=r'a\.jpg cannot be read as an image: '):
        image_files.image_size(tmp_path / 'a.jpg')
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / 'large.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    with pytest.raises(InputError, match=r'large\.png cannot be read as an image: Image size \(24 pixels\) exceeds'):
        image_files.image_size(tmp_path / 'large.png')
