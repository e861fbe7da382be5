"""Images are packed faster, and as mmdet packs them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmengine.config import Config
from mmengine.hooks import Hook

from mmdet_kpheads.cli import running
from mmdet_kpheads.compat import image_packing
from mmdet_kpheads.compat.image_packing import channels_first

VIEWS = {
    'whole': lambda image: image,
    'cropped': lambda image: image[2:9, 3:11],
    'flipped': lambda image: image[:, ::-1],
    'cropped and flipped': lambda image: image[2:9, 3:11][:, ::-1],
    'flipped vertically': lambda image: image[::-1],
    'flipped both ways': lambda image: image[::-1, ::-1],
    'one column': lambda image: image[:, :1],
    'other channel order': lambda image: image[..., ::-1],
}


def picture(dtype, channels=3):
    return np.random.default_rng(0).uniform(0, 255, (12, 17, channels)).astype(dtype)


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize(('dtype', 'channels'), [(np.uint8, 3), (np.float32, 3), (np.uint8, 1), (np.uint8, 4)])
def test_planes_are_the_transposed_image(view, dtype, channels):
    image = VIEWS[view](picture(dtype, channels))
    planes = channels_first(image)
    assert planes.flags.c_contiguous and planes.dtype == dtype
    assert np.array_equal(planes, image.transpose(2, 0, 1))


@pytest.mark.parametrize(
    'image',
    [
        picture(np.uint8),
        picture(np.uint8)[:, ::-1],
        picture(np.float32),
        picture(np.float64),
        picture(np.int64),
        picture(np.uint8)[..., 0],
        picture(np.uint8)[:0],
    ],
    ids=['uint8', 'flipped', 'float32', 'float64', 'int64', 'gray', 'empty'],
)
def test_packs_what_mmdet_packs(image):
    results = dict(
        img=image,
        img_path='a.jpg',
        img_shape=image.shape[:2],
        gt_bboxes=np.array([[1.0, 2, 3, 4], [0, 0, 5, 5]], np.float32),
        gt_bboxes_labels=np.array([0, 1]),
        gt_ignore_flags=np.array([0, 1]),
    )
    before = image.copy()
    image_packing.install()
    image_packing.install()  # wraps the transform once
    expected, found = (pack(PackDetInputs(), results) for pack in (
        PackDetInputs.transform.__wrapped__, PackDetInputs.transform))  # fmt: skip
    assert not hasattr(PackDetInputs.transform.__wrapped__, '__wrapped__')
    assert torch.equal(found['inputs'], expected['inputs'])
    assert found['inputs'].dtype == expected['inputs'].dtype and found['inputs'].is_contiguous()
    assert found['data_samples'].metainfo == expected['data_samples'].metainfo
    for name in ('gt_instances', 'ignored_instances'):
        ours, theirs = (getattr(packed['data_samples'], name) for packed in (found, expected))
        assert torch.equal(ours.bboxes, theirs.bboxes) and torch.equal(ours.labels, theirs.labels)
    assert np.array_equal(image, before) and results['img'] is image


def test_an_image_is_split_by_opencv_after_installation(monkeypatch):
    image_packing.install()
    monkeypatch.setattr('cv2.split', lambda image, planes: [plane.fill(7) for plane in planes])
    assert (PackDetInputs(meta_keys=())(dict(img=picture(np.uint8)))['inputs'] == 7).all()


def test_a_runner_packs_with_it(monkeypatch):
    monkeypatch.setattr(PackDetInputs, 'transform', lambda self, results: results)
    hooks: list[Hook] = []
    monkeypatch.setattr(running.Runner, 'from_cfg', lambda cfg: SimpleNamespace(register_hook=hooks.append))
    running.build_runner(Config())
    assert [type(hook) for hook in hooks] == [running.ForgetAnnotations]
    assert PackDetInputs.transform.__wrapped__(None, 'unchanged') == 'unchanged'
