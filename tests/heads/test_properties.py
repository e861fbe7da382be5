"""What holds for any ground truth and any prediction: random scenes, all heads, each backend.

Training: the order of boxes and images, copies, useless boxes, padding and symmetric images change nothing. Prediction:
targets decode to their boxes, padding and symmetric images change nothing, and anything predicted gives proper boxes.
"""

import math
from functools import cache
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import pad

from mmdet_kpheads.heads import AutoAssignHead, CenterNetHead, CornerNetHead
from tests.heads.conftest import COMPILED, chosen
from tests.scenes import instances
from tests.training import BACKEND, summed

pytestmark = pytest.mark.property
backend = pytest.fixture(params=['cpu', 'reference'], autouse=True)(chosen)

CLASSES = 3
BACKGROUND = -60.0  # a logit whose loss is 0 in float32
STEP = 32  # of input sizes in pixels: the largest stride
HEADS = ['centernet', 'cornernet', 'autoassign']
STRIDES = {'centernet': (4,), 'cornernet': (4,), 'autoassign': (8, 16, 32)}
KEEP_ALL = {'centernet': None, 'cornernet': dict(distance_threshold=1e9), 'autoassign': dict(score_thr=0.0)}
Maps = list[list[Tensor]]  # by output of forward, then by level


@cache
def head_of(name: str, backend: str, strides=None, keep_all=False):
    """A head whose maps the tests make up: its layers are not used."""
    test_cfg = KEEP_ALL[name] if keep_all else None
    if name == 'centernet':
        return CenterNetHead(4, 4, CLASSES, loss_bbox=dict(type='GIoULoss'), test_cfg=test_cfg, backend=backend)
    if name == 'cornernet':
        embedding = dict(type='AssociativeEmbeddingLoss', reduction='image_mean')
        layers = dict(feat_channels=8, pool_channels=8)
        return CornerNetHead(CLASSES, 4, 1, loss_embedding=embedding, test_cfg=test_cfg, backend=backend, **layers)
    strides = strides or STRIDES[name]
    return AutoAssignHead(CLASSES, 32, force_topk=True, strides=strides, test_cfg=test_cfg, backend=backend)


class Scene(NamedTuple):
    """One image, its objects, and maps over the smallest input that holds it."""

    size: tuple[int, int]  # height, width
    boxes: list[list[float]]
    labels: list[int]
    seed: int = 0  # of the maps
    more: tuple[int, int] = (0, 0)  # of the input, below and to the right

    @property
    def truth(self):
        return instances(self.boxes, self.labels)

    @property
    def input_size(self):
        return tuple(-(-side // STEP) * STEP + more for side, more in zip(self.size, self.more, strict=True))

    @property
    def meta(self):
        return dict(
            batch_input_shape=self.input_size,
            img_shape=self.size,
            ori_shape=self.size,
            scale_factor=(1.0, 1.0),
        )

    def maps(self, name: str, strides=None) -> Maps:
        """In the order of the head's ``forward``."""
        generator = torch.Generator().manual_seed(self.seed)

        def levels(channels, mean, spread):
            return [
                torch.randn(1, channels, *(side // stride for side in self.input_size), generator=generator) * spread
                + mean
                for stride in strides or STRIDES[name]
            ]

        if name == 'centernet':
            return [levels(CLASSES, -2, 2), levels(2, 5, 2), levels(2, 0.5, 0.3)]
        if name == 'cornernet':
            kinds = (CLASSES, -2, 2), (1, 0, 1), (2, 0.5, 0.3)
            return [levels(*kind) for kind in kinds for _ in 'tb']
        return [levels(CLASSES, -2, 2), [level.abs() for level in levels(4, 0, 20)], levels(1, 0, 2)]


@st.composite
def scenes(draw, full=False, inside=False, at_most=8):
    """Scenes with boxes at sixteenths of a pixel, some over the sides of the image unless ``inside``.

    ``full``: the image fills the input.
    """
    sides = st.integers(1, 128 // STEP).map(lambda steps: steps * STEP) if full else st.integers(1, 128)
    size = draw(sides), draw(sides)
    boxes = []
    for _ in range(draw(st.integers(0, at_most))):
        low, high = (0.0, 1.0) if inside else (-0.3, 1.3)
        corners = [sorted(draw(st.integers(round(low * 16 * s), round(high * 16 * s))) for _ in 'ab') for s in size]
        (y1, y2), (x1, x2) = ([side / 16 for side in pair] for pair in corners)
        boxes.append([x1, y1, x2, y2])
    labels = [draw(st.integers(0, CLASSES - 1)) for _ in boxes]
    return Scene(size, boxes, labels, draw(st.integers(0, 1 << 30)))


def losses_of(head, maps: Maps, truths, metas, gradients=False):
    """The losses, levels added up; with ``gradients`` also those of all maps."""
    if gradients:
        maps = [[level.clone().requires_grad_() for level in levels] for levels in maps]
    losses = head.loss_by_feat(*maps, truths, metas)
    losses = {name: sum(value) if isinstance(value, list) else value for name, value in losses.items()}
    if not gradients:
        return losses
    summed(losses).backward()
    return losses, [level.grad for levels in maps for level in levels]


def require_equal(found, expected, rtol=1e-4, atol=1e-5, only='loss'):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if only in name:
            torch.testing.assert_close(
                found[name], value, rtol=rtol, atol=atol, msg=lambda text, name=name: f'{name}: {text}'
            )


def boxes_of(head, maps: Maps, meta):
    (found,) = head.predict_by_feat(*maps, [meta])
    return found


def require_same_boxes(found, expected, atol=1e-3):
    """The same detections; those of nearly one score in any order."""
    assert len(found) == len(expected)
    torch.testing.assert_close(found.scores, expected.scores)
    far = (found.bboxes[:, None] - expected.bboxes).abs().amax(-1) + 1e6 * (found.labels[:, None] != expected.labels)
    assert not len(found) or max(far.amin(0).max(), far.amin(1).max()) < atol


# ---- training ----


@pytest.mark.parametrize('name', HEADS)
@given(data=st.data())
def test_the_order_of_boxes_changes_nothing(name, data):
    head, scene = head_of(name, BACKEND.get()), data.draw(scenes())
    order = data.draw(st.permutations(range(len(scene.boxes))))
    other = scene._replace(boxes=[scene.boxes[i] for i in order], labels=[scene.labels[i] for i in order])
    expected = losses_of(head, scene.maps(name), [scene.truth], [scene.meta], gradients=True)
    found = losses_of(head, scene.maps(name), [other.truth], [scene.meta], gradients=True)
    assert found[0] == expected[0]
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))


@pytest.mark.parametrize('name', HEADS)
@given(first=scenes(), second=scenes(), third=scenes())
def test_the_order_of_images_and_copies_of_the_batch_change_nothing(name, first, second, third):
    head = head_of(name, BACKEND.get())
    batch = [image._replace(size=(96, 128)) for image in (first, second, third)]
    batch[0] = batch[0]._replace(boxes=[[10, 10, 90, 90]], labels=[1])  # the divisors are at least 1
    losses = []
    for order in ([0, 1, 2], [2, 0, 1], [0, 1, 2] * 2):
        all_maps = [batch[i].maps(name) for i in order]
        maps = [[torch.cat(level) for level in zip(*levels, strict=True)] for levels in zip(*all_maps, strict=True)]
        losses.append(losses_of(head, maps, [batch[i].truth for i in order], [batch[i].meta for i in order]))
    require_equal(losses[1], losses[0])
    require_equal(losses[1], losses[0], only='num_')
    require_equal(losses[2], losses[0])
    require_equal(
        losses[2], {key: value * (2 if 'num_' in key else 1) for key, value in losses[0].items()}, only='num_'
    )


@pytest.mark.parametrize('name', HEADS)
@given(scene=scenes(), places=st.lists(st.integers(0, 8), min_size=5, max_size=5))
def test_useless_boxes_change_nothing(name, scene, places):
    """Without area, reversed, outside, not finite: dropped and counted. Ignored: left out."""
    head, (height, width) = head_of(name, BACKEND.get()), scene.size
    useless = [[5, 5, 5, 9], [9, 9, 2, 2], [width, 0, width + 9, 9], [0, -9, 9, 0], [math.nan, 0, 9, math.inf]]
    boxes, labels = list(scene.boxes), list(scene.labels)
    for place, box in zip(places, useless, strict=True):
        boxes.insert(place, box)
        labels.insert(place, 1)
    more = scene._replace(boxes=[*boxes, [0, 0, width, height]], labels=[*labels, -1])
    expected = losses_of(head, scene.maps(name), [scene.truth], [scene.meta], gradients=True)
    found = losses_of(head, scene.maps(name), [more.truth], [scene.meta], gradients=True)
    require_equal(found[0], expected[0])
    assert found[0]['num_dropped_boxes'] == expected[0]['num_dropped_boxes'] + len(useless)
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b)


def padded(name, maps: Maps, below: int, right: int) -> Maps:
    """The same maps under a larger input: confident background in the padding, and arbitrary other maps."""
    logits = {'centernet': (0,), 'cornernet': (0, 1), 'autoassign': (0, 2)}[name]
    found: Maps = []
    for number, levels in enumerate(maps):
        found.append([])
        for level, stride in zip(levels, STRIDES[name], strict=True):
            larger = pad(level, (0, right // stride, 0, below // stride), value=BACKGROUND)
            if number not in logits:
                larger = torch.where(larger == BACKGROUND, torch.rand(larger.shape) * 9, larger)
            found[-1].append(larger)
    return found


@pytest.mark.parametrize('name', HEADS)
@given(scene=scenes(), below=st.sampled_from([0, 32, 96]), right=st.sampled_from([0, 32, 64]))
def test_padding_changes_nothing(name, scene, below, right):
    head, maps = head_of(name, BACKEND.get()), scene.maps(name)
    wide = scene._replace(more=(below, right)).meta
    larger = padded(name, maps, below, right)
    expected = losses_of(head, maps, [scene.truth], [scene.meta])
    assert summed(expected) > 0
    require_equal(losses_of(head, larger, [scene.truth], [wide]), expected, only='')
    require_same_boxes(boxes_of(head, larger, wide), boxes_of(head, maps, scene.meta))


def turned(name, maps: Maps) -> Maps:
    """Maps of the image turned by 180 degrees: each corner becomes the other kind."""
    maps = [[level.flip(-1, -2) for level in levels] for levels in maps]
    if name == 'centernet':
        return [maps[0], maps[1], [1 - level for level in maps[2]]]
    if name == 'cornernet':
        return [*(maps[i] for i in (1, 0, 3, 2)), *([1 - level for level in maps[i]] for i in (5, 4))]
    return [maps[0], [level[:, [2, 3, 0, 1]] for level in maps[1]], maps[2]]


def mirrored(name, maps: Maps) -> Maps:
    """Maps of the mirror image, of heads that find whole objects."""
    maps = [[level.flip(-1) for level in levels] for levels in maps]
    if name == 'centernet':
        return [maps[0], maps[1], [torch.cat((1 - level[:, :1], level[:, 1:]), 1) for level in maps[2]]]
    return [maps[0], [level[:, [2, 1, 0, 3]] for level in maps[1]], maps[2]]


def transposed(name, maps: Maps) -> Maps:
    """Maps of the image with x and y exchanged."""
    swap = {'centernet': {1: [1, 0], 2: [1, 0]}, 'cornernet': {4: [1, 0], 5: [1, 0]}, 'autoassign': {1: [1, 0, 3, 2]}}
    return [
        [level.transpose(-1, -2)[:, swap[name].get(number, slice(None))] for level in levels]
        for number, levels in enumerate(maps)
    ]


SYMMETRIES = {
    'turned': (turned, lambda x1, y1, x2, y2, width, height: [width - x2, height - y2, width - x1, height - y1]),
    'mirrored': (mirrored, lambda x1, y1, x2, y2, width, height: [width - x2, y1, width - x1, y2]),
    'transposed': (transposed, lambda x1, y1, x2, y2, width, height: [y1, x1, y2, x2]),
}
CASES = [(n, s) for n in HEADS for s in SYMMETRIES if (n, s) != ('cornernet', 'mirrored')]  # its corners would change


@pytest.mark.parametrize(('name', 'symmetry'), CASES)
@given(scene=scenes(full=True, inside=True))
def test_a_symmetric_image_has_symmetric_losses_and_boxes(name, symmetry, scene):
    """Boxes lie off the borders of cells, where the far side has another cell, and not equally near to grid points."""
    options = dict(strides=(8,)) if name == 'autoassign' else {}  # one level: a grid is symmetric around its middle
    head, (height, width) = head_of(name, BACKEND.get(), **options), scene.size
    turn, map_box = SYMMETRIES[symmetry]
    shift = 8 if name == 'autoassign' and symmetry != 'transposed' else 0  # grid points are at the corners of cells
    boxes = [[math.floor(x) + part for x, part in zip(box, (0.21, 0.13, 0.64, 0.58), strict=True)]
             for box in scene.boxes]  # fmt: skip
    limit = (width - shift, height - shift) * 2
    boxes = [[min(x, most - 1) for x, most in zip(box, limit, strict=True)] for box in boxes]
    kept = [i for i, (x1, y1, x2, y2) in enumerate(boxes) if x2 > x1 and y2 > y1]
    boxes, labels = [boxes[i] for i in kept], [scene.labels[i] for i in kept]
    other = scene._replace(size=(width, height) if symmetry == 'transposed' else scene.size, labels=labels)
    other = other._replace(boxes=[map_box(*box, width - shift, height - shift) for box in boxes])
    scene = scene._replace(boxes=boxes, labels=labels)
    maps = scene.maps(name, **options)
    expected = losses_of(head, maps, [scene.truth], [scene.meta])
    require_equal(losses_of(head, turn(name, maps), [other.truth], [other.meta]), expected)
    if shift:
        return  # boxes are clipped to the image, whose middle is not that of the grid
    expected, found = boxes_of(head, maps, scene.meta), boxes_of(head, turn(name, maps), other.meta)
    expected.bboxes = torch.tensor([map_box(*box, width, height) for box in expected.bboxes.tolist()]).reshape(-1, 4)
    require_same_boxes(found, expected)


# ---- prediction ----


def maps_of_targets(name, head, scene: Scene) -> Maps:
    """What a perfect network predicts."""
    if name == 'autoassign':
        return _perfect_grid(head, scene)
    height, width = (side // 4 for side in scene.input_size)
    truth, geometry = head.truth_and_geometry([scene.truth], [scene.meta], torch.zeros(1, 1, height, width))
    targets = head.targets(truth, geometry)

    def heat_and(target, *values):
        cells, labels = target.cells[0, : len(scene.boxes)], target.labels[0, : len(scene.boxes)]
        heat = torch.full((1, CLASSES, height * width), BACKGROUND)
        heat[0, labels, cells] = 5.0
        maps = [heat]
        for value in values:
            written = torch.zeros(1, value.shape[-1], height * width)
            written[0, :, cells] = value[0, : len(cells)].t()
            maps.append(written)
        return [[level.unflatten(-1, (height, width))] for level in maps]

    if name == 'centernet':
        return heat_and(targets, targets.sizes, targets.offsets)
    tags = torch.arange(float(truth.boxes.shape[1]))[None, :, None]  # one number per object
    (heat, tag, offset), (other, other_tag, other_offset) = (heat_and(one, tags, one.offsets) for one in targets)
    return [heat, other, tag, other_tag, offset, other_offset]


def _perfect_grid(head, scene: Scene) -> Maps:
    """At the grid point of the first level that is nearest to the center of each box, its distances."""
    maps = [
        [torch.full_like(level, BACKGROUND if number != 1 else 0.0) for level in levels]
        for number, levels in enumerate(scene.maps('autoassign'))
    ]
    for (x1, y1, x2, y2), label in zip(scene.boxes, scene.labels, strict=True):
        x, y = round((x1 + x2) / 16), round((y1 + y2) / 16)
        maps[0][0][0, label, y, x] = maps[2][0][0, 0, y, x] = 5.0
        maps[1][0][0, :, y, x] = torch.tensor([8 * x - x1, 8 * y - y1, x2 - 8 * x, y2 - 8 * y])
    return maps


@st.composite
def separate_objects(draw):
    """A scene whose objects have cells of their own for the center and for both corners, none beside another."""
    size = draw(st.integers(65, 128)), draw(st.integers(65, 128))
    places = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), unique=True, min_size=1, max_size=5))
    boxes = []
    for column, row in places:  # in squares of 24 pixels, corners in their first and last thirds
        (x1, x2), (y1, y2) = (
            (24 * at + 1 + draw(st.integers(0, 96)) / 16, 24 * at + 17 + draw(st.integers(0, 48)) / 16)
            for at in (column, row)
        )
        if x2 <= size[1] and y2 <= size[0]:
            boxes.append([x1, y1, x2, y2])
    return Scene(size, boxes, [draw(st.integers(0, CLASSES - 1)) for _ in boxes])


@pytest.mark.parametrize('name', HEADS)
@given(scene=separate_objects())
def test_targets_decode_to_the_boxes(name, scene):
    head = head_of(name, BACKEND.get())
    found = boxes_of(head, maps_of_targets(name, head, scene), scene.meta)
    found = found[found.scores > 0.5]
    assert sorted(found.labels.tolist()) == sorted(scene.labels)
    if scene.boxes:
        far = (found.bboxes[:, None] - scene.truth.bboxes).abs().amax(-1)
        far = far + 1e6 * (found.labels[:, None] != scene.truth.labels)
        assert far.amin(0).max() < 1e-3 > far.amin(1).max()


@pytest.mark.parametrize('box', [[100, 200, 300, 384], [480, 380, 512, 384], [508, 0, 512, 4]])
def test_corners_at_the_sides_of_a_padded_image_come_back(box):
    """Image 384 x 512 in an input of 512 x 512: targets, then decoding, return the box."""
    head, scene = head_of('cornernet', BACKEND.get()), Scene((384, 512), [box], [0], more=(128, 0))
    found = boxes_of(head, maps_of_targets('cornernet', head, scene), scene.meta)
    torch.testing.assert_close(found.bboxes[0], torch.tensor(box, dtype=torch.float32))


HOSTILE = [math.nan, math.inf, -math.inf, 65504.0, -65504.0, 1e38, -1e38, 0.0]


def spoiled(maps: Maps, data, values) -> Maps:
    """Maps with hostile values at some places of each map, or everywhere."""
    maps = [[level.clone() for level in levels] for levels in maps]
    for levels in maps:
        for level in levels:
            value, share = data.draw(st.sampled_from(values)), data.draw(st.sampled_from([0.0, 0.01, 0.5, 1.0]))
            seed = data.draw(st.integers(0, 1 << 30))
            level[torch.rand(level.shape, generator=torch.Generator().manual_seed(seed)) < share] = value
    return maps


@pytest.mark.parametrize('name', HEADS)
@given(data=st.data(), scene=scenes())
def test_any_prediction_gives_sorted_finite_boxes_inside_the_image(name, data, scene):
    head = head_of(name, BACKEND.get(), keep_all=True)
    found = boxes_of(head, spoiled(scene.maps(name), data, HOSTILE), scene.meta)
    height, width = scene.size
    x1, y1, x2, y2 = found.bboxes.unbind(1)
    assert found.bboxes.isfinite().all() and found.scores.isfinite().all()
    assert ((x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height) & (x2 > x1) & (y2 > y1)).all()
    assert (found.scores.diff() <= 0).all() and ((found.scores >= 0) & (found.scores <= 1)).all()
    assert ((found.labels >= 0) & (found.labels < CLASSES)).all() and len(found) <= 100


@pytest.mark.parametrize('name', HEADS)
@given(data=st.data(), scene=scenes())
def test_whatever_half_precision_holds_gives_finite_losses_and_gradients(name, data, scene):
    maps = spoiled(scene.maps(name), data, [65504.0, -65504.0, 6e-8, 0.0])
    losses, gradients = losses_of(head_of(name, BACKEND.get()), maps, [scene.truth], [scene.meta], gradients=True)
    assert all(value.isfinite() for value in losses.values())
    assert all(gradient.isfinite().all() for gradient in gradients)


# ---- backends ----


@pytest.mark.parametrize('backend', ['cpu', 'export', COMPILED], indirect=True)
@pytest.mark.parametrize('name', HEADS)
@given(scene=scenes())
def test_each_backend_equals_the_reference(name, scene):
    maps, truth, meta = scene.maps(name), [scene.truth], scene.meta
    reference, head = head_of(name, 'reference'), head_of(name, BACKEND.get())
    expected, found = (losses_of(one, maps, truth, [meta], gradients=True) for one in (reference, head))
    require_equal(found[0], expected[0], only='')
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    require_same_boxes(boxes_of(head, maps, meta), boxes_of(reference, maps, meta))
