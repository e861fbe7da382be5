"""On a GPU (``make test-gpu``) nothing waits for the device in losses and decoding; on a CPU the same steps run."""

import contextlib
import warnings

import pytest
import torch

from mmdet_kpheads.decoding.centre import decode_centres
from mmdet_kpheads.decoding.corner import CornerMaps, PairingOptions, decode_corners
from mmdet_kpheads.decoding.points import PointLevel, decode_points
from tests.scenes import metas, well_formed
from tests.training import SMALL_HEADS, features_of, small_head, summed

PX, CLASSES, IMAGES = 64, 3, 2
CUDA = pytest.param(
    'cuda',
    marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')],
)
DEVICES = pytest.mark.parametrize('device', ['cpu', CUDA])


@contextlib.contextmanager
def sync_mode(mode, device):
    """What torch does where the host waits for the device."""
    if device == 'cpu':
        yield
        return
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


def scene(name, device):
    head = small_head(name).to(device)
    features = tuple(level.to(device) for level in features_of(name, IMAGES, 0))
    images = [well_formed(number, CLASSES, PX, seed=number).to(device) for number in (3, 0)]
    return head, features, images, metas(IMAGES, PX)


@DEVICES
@pytest.mark.parametrize('name', ['centernet', 'cornernet'])
def test_a_training_step_of_a_heat_map_head_waits_nowhere(name, device):
    head, features, images, img_metas = scene(name, device)
    summed(head.loss_by_feat(*head(features), images, img_metas)).backward()  # what is done once is done
    with sync_mode('error', device):
        loss = summed(head.loss_by_feat(*head(features), images, img_metas))
        loss.backward()
    assert loss.isfinite()


@DEVICES
def test_a_training_step_of_autoassign_waits_once(device):
    head, features, images, img_metas = scene('autoassign', device)
    summed(head.loss_by_feat(*head(features), images, img_metas)).backward()
    with warnings.catch_warnings(record=True) as caught, sync_mode('warn', device):
        warnings.simplefilter('always')
        loss = summed(head.loss_by_feat(*head(features), images, img_metas))
        loss.backward()
    waits = [str(warning.message) for warning in caught if 'synchronizing' in str(warning.message)]
    # mmdet's IoU losses copy their epsilon to the device: a second one that is not ours
    assert len(waits) <= 2, waits
    assert loss.isfinite()


@DEVICES
@pytest.mark.parametrize('name', SMALL_HEADS)
@torch.no_grad()
def test_decoding_waits_nowhere_up_to_tensors_of_fixed_size(name, device):
    head, features, _, _ = scene(name, device)
    maps = head(features)
    extent = torch.tensor([[0.0, 0.0, PX, PX]] * IMAGES, device=device)

    def decode():
        if name == 'centernet':
            return decode_centres(*(levels[-1] for levels in maps), (PX, PX), extent)
        if name == 'cornernet':
            corners = [CornerMaps(*(levels[-1] for levels in maps[first::2])) for first in (0, 1)]
            return decode_corners(*corners, (PX, PX), extent, PairingOptions())
        return decode_points([PointLevel(*level, stride) for *level, stride in zip(*maps, (4, 8), strict=True)], extent)

    decode()
    with sync_mode('error', device):
        found = decode()
    assert found.boxes.shape[0] == IMAGES and found.boxes.isfinite().all()
