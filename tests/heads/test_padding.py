"""Padding a batch changes neither the losses nor the detections of an image: random sizes, all heads.

The padding holds confident background and arbitrary other maps. What a network predicts there is its own affair.
"""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import pad

from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from tests.scenes import instances
from tests.training import BACKEND, summed

CLASSES = 3
BACKGROUND = -60.0  # a logit whose loss is 0 in float32
STEP = 32  # of input sizes in pixels: the largest stride
EMBEDDING = dict(type='AssociativeEmbeddingLoss')
HEADS: dict[str, tuple[Callable, tuple[int, ...]]] = {
    'centernet': (lambda **o: CenterNetHead(4, 4, CLASSES, loss_bbox=dict(type='GIoULoss'), **o), (4,)),
    'cornernet': (lambda **o: CornerNetHead(CLASSES, 4, 1, loss_embedding=EMBEDDING, **o), (4,)),
    'autoassign': (lambda **o: AutoAssignHead(CLASSES, 32, force_topk=True, strides=(8, 16, 32), **o), (8, 16, 32)),
}


def random_image(seed):
    """Size of an image, of the smallest input that holds it, and of a larger one; boxes, some at the far sides."""
    generator = torch.Generator().manual_seed(seed)
    height, width, *more = torch.randint(1, 129, (4,), generator=generator).tolist()
    tight = tuple(-(-side // STEP) * STEP for side in (height, width))
    wide = tuple(side + extra // STEP * STEP for side, extra in zip(tight, more, strict=True))
    size = torch.tensor([width, height] * 2, dtype=torch.float32)
    corners = (torch.rand(12, 2, 2, generator=generator) * 1.4 - 0.2).sort(1).values.flatten(1)
    boxes = (corners * size).clamp(min=torch.zeros(4), max=size)
    boxes[:3, 2:] = size[2:]
    labels = torch.randint(CLASSES, (12,), generator=generator)
    return (height, width), tight, wide, instances(boxes, labels)


def maps_of(name, size, seed):
    """Maps of one image, in the order of the head's ``forward``."""
    generator = torch.Generator().manual_seed(seed)

    def levels(channels, mean, spread):
        shapes = [(1, channels, size[0] // stride, size[1] // stride) for stride in HEADS[name][1]]
        return [torch.randn(shape, generator=generator) * spread + mean for shape in shapes]

    if name == 'centernet':
        return [levels(CLASSES, -2, 2), levels(2, 5, 2), levels(2, 0.5, 0.3)]
    if name == 'cornernet':
        return (
            [levels(CLASSES, -2, 2) for _ in 'tb']
            + [levels(1, 0, 1) for _ in 'tb']
            + [levels(2, 0.5, 0.3) for _ in 'tb']
        )
    return [levels(CLASSES, -2, 2), [level.abs() for level in levels(4, 0, 20)], levels(1, 0, 2)]


def padded(name, maps, wide):
    """The same maps under a larger input."""
    logits = {'centernet': (0,), 'cornernet': (0, 1), 'autoassign': (0, 2)}[name]
    found: list[list[torch.Tensor]] = []
    for number, levels in enumerate(maps):
        found.append([])
        for level, stride in zip(levels, HEADS[name][1], strict=True):
            below, right = wide[0] // stride - level.shape[2], wide[1] // stride - level.shape[3]
            larger = pad(level, (0, right, 0, below), value=BACKGROUND)
            if number not in logits:
                larger = torch.where(larger == BACKGROUND, torch.rand(larger.shape) * 9, larger)
            found[-1].append(larger)
    return found


def meta(size, input_size):
    return dict(batch_input_shape=input_size, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))


@pytest.mark.parametrize('seed', range(25))
@pytest.mark.parametrize('name', HEADS)
def test_losses(name, seed):
    head = HEADS[name][0](backend=BACKEND.get())
    size, tight, wide, image = random_image(seed)
    maps = maps_of(name, tight, seed)
    losses = [
        head.loss_by_feat(*its_maps, [image], [meta(size, input_size)])
        for its_maps, input_size in ((maps, tight), (padded(name, maps, wide), wide))
    ]
    assert summed(losses[0]) > 0
    for key, expected in losses[0].items():
        torch.testing.assert_close(
            losses[1][key], expected, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f'{key}: {text}'
        )


@pytest.mark.parametrize('seed', range(25))
@pytest.mark.parametrize('name', HEADS)
@torch.no_grad()
def test_detections(name, seed):
    head = HEADS[name][0](backend=BACKEND.get())
    size, tight, wide, _ = random_image(seed)
    maps = maps_of(name, tight, seed)
    (expected,), (found,) = (
        head.predict_by_feat(*its_maps, [meta(size, input_size)])
        for its_maps, input_size in ((maps, tight), (padded(name, maps, wide), wide))
    )
    torch.testing.assert_close(found.bboxes, expected.bboxes, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.scores, expected.scores)
    assert torch.equal(found.labels, expected.labels)


@pytest.mark.parametrize('box', [[100, 200, 300, 384], [480, 380, 512, 384], [508, 0, 512, 4]])
def test_corners_at_the_sides_of_a_padded_image_come_back(box):
    """Image 384 x 512 in an input of 512 x 512: targets, then decoding, return the box."""
    head = CornerNetHead(1, 4, 1, corner_emb_channels=0, backend=BACKEND.get())
    image, its_meta = instances([box], [0]), meta((384, 512), (512, 512))
    truth, geometry = head.truth_and_geometry([image], [its_meta], torch.zeros(1, 1, 128, 128))
    corners = head.targets(truth, geometry)
    heats, offsets = [], []
    for target in corners:
        heat, offset = torch.full((1, 1, 128 * 128), BACKGROUND), torch.zeros(1, 2, 128 * 128)
        heat[0, 0, target.cells[0, 0]] = 5.0
        offset[0, :, target.cells[0, 0]] = target.offsets[0, 0]
        heats.append([heat.view(1, 1, 128, 128)])
        offsets.append([offset.view(1, 2, 128, 128)])
    (found,) = head.predict_by_feat(*heats, [None], [None], *offsets, [its_meta])
    torch.testing.assert_close(found.bboxes[0], torch.tensor(box, dtype=torch.float32))
