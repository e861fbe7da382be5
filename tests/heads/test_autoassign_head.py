"""What users were promised of AutoAssignHead: degenerate input, small objects, memory, options, precision."""

import math
import warnings
from dataclasses import replace

import pytest
import torch

from mmdet_kpheads.errors import KpheadsWarning
from mmdet_kpheads.heads import AutoAssignHead
from tests.heads.test_centernet_head import HOSTILE
from tests.profiling import device_reads, operators
from tests.scenes import instances, metas, well_formed
from tests.training import BACKEND, summed

SIZE, CLASSES, STRIDES = 128, 3, (8, 16, 32, 64, 128)
GIOU = dict(type='GIoULoss', loss_weight=5.0)
GROUPS = dict(type='GN', num_groups=2)


def build(**options) -> AutoAssignHead:
    options = (
        dict(
            num_classes=CLASSES,
            in_channels=4,
            feat_channels=4,
            stacked_convs=1,
            strides=STRIDES,
            loss_bbox=GIOU,
            norm_cfg=GROUPS,
        )
        | options
    )
    options.setdefault('backend', BACKEND.get())
    return AutoAssignHead(**options)


def maps_of(head, batch, size=SIZE, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def level(channels, stride):
        cells = -(-size // stride)
        return torch.randn(batch, channels, cells, cells, generator=generator)

    logits = [level(head.num_classes, stride).requires_grad_() for stride in head.strides]
    distances = [(level(4, stride).abs() * 20).requires_grad_() for stride in head.strides]
    return [logits, distances, [level(1, stride).requires_grad_() for stride in head.strides]]


def losses_of(head, *images, maps=None, size=SIZE, ignored=None):
    maps = maps or maps_of(head, len(images), size)
    return head.loss_by_feat(*maps, list(images), metas(len(images), size), ignored)


def flat(maps):
    return [[level.detach().clone() for level in levels] for levels in maps]


def test_strides_that_do_not_fit_the_maps_are_refused():
    maps = maps_of(build(strides=(8, 16, 32)), 1)
    with pytest.raises(ValueError, match=r'strides \(4, 8, 16\) do not fit .* \(16, 16\) cells .* has not stride 4'):
        losses_of(build(strides=(4, 8, 16)), well_formed(2, CLASSES, SIZE), maps=maps)
    with pytest.raises(ValueError, match=r'strides \(4, 8, 16\) do not fit'):
        build(strides=(4, 8, 16)).predict_by_feat(*maps, metas(1, SIZE))
    with pytest.raises(ValueError, match=r'strides \(4, 8, 16\) do not fit'):
        build(strides=(4, 8, 16)).decode_full(*maps, input_size=(SIZE, SIZE))


@pytest.mark.parametrize('force_topk', [False, True])
@pytest.mark.parametrize('name', HOSTILE)
def test_any_box_gives_finite_losses_and_gradients(name, force_topk):
    head = build(force_topk=force_topk)
    maps = maps_of(head, 1)
    loss = summed(losses_of(head, instances([HOSTILE[name]], [1]), maps=maps))
    loss.backward()
    assert loss.isfinite()
    assert all(level.grad.isfinite().all() for levels in maps for level in levels)


@pytest.mark.parametrize('loss', ['GIoULoss', 'IoULoss', 'CIoULoss'])
@pytest.mark.parametrize('counts', [(0, 0), (0, 3), (1, 1)])
def test_every_parameter_gets_a_gradient(counts, loss):
    head = build(loss_bbox=dict(type=loss, loss_weight=5.0))
    features = tuple(torch.randn(2, 4, 64 // stride or 1, 64 // stride or 1) for stride in STRIDES)
    truth = [well_formed(count, CLASSES, 64, seed) for seed, count in enumerate(counts)]
    summed(head.loss_by_feat(*head(features), truth, metas(2, 64))).backward()
    missing = [name for name, parameter in head.named_parameters() if parameter.grad is None]
    assert not missing


# ---- small objects ----


def test_an_object_without_a_point_enters_no_loss_and_is_counted():
    head = build()
    image, maps = instances([[10, 10, 100, 100]], [0]), maps_of(head, 1)
    with_tiny = instances([[10, 10, 100, 100], [49, 49, 53, 53]], [0, 1])
    alone, both = losses_of(head, image, maps=maps), losses_of(head, with_tiny, maps=maps)
    assert both['num_pointless_boxes'] == 1
    for name in ('loss_pos', 'loss_center'):  # the IoU of a negative weight is with any box of the image
        assert both[name] == alone[name]
    only = losses_of(head, instances([[49, 49, 53, 53]], [1]), maps=maps)
    assert only['loss_pos'] == 0
    assert only['loss_center'] == 0


def test_what_the_log_gets():
    """Of three objects one holds no grid point; magnitudes of mean and sigma."""
    head = build()
    assert head.center_prior.strides == STRIDES and build(strides=(4, 8)).center_prior.strides == (4, 8)
    torch.nn.init.constant_(head.center_prior.mean, -0.5)
    torch.nn.init.constant_(head.center_prior.sigma, -2.0)
    image = instances([[10, 10, 100, 100], [20, 20, 90, 90], [49, 49, 53, 53]], [0, 1, 1])
    log = {name: value for name, value in losses_of(head, image).items() if not name.startswith('loss')}
    assert all(value.dtype == torch.float32 and not value.requires_grad for value in log.values())
    assert {name: value.item() for name, value in log.items()} == {
        'num_pointless_boxes': 1,
        'num_dropped_boxes': 0,
        'num_bad_labels': 0,
        'prior_mean': 0.5,
        'prior_sigma': 2,
    }


def test_force_topk_gives_every_small_object_a_gradient():
    """1000 boxes of 1 to 16 px at random positions, in images of ten."""
    head = build(force_topk=True)
    generator = torch.Generator().manual_seed(0)
    side = 1 + 15 * torch.rand(1000, 2, generator=generator)
    corner = torch.rand(1000, 2, generator=generator) * (SIZE - side)
    images = [instances(part, [0] * 10) for part in torch.cat((corner, corner + side), 1).split(10)]
    for image in images:
        for box in range(10):
            maps = maps_of(head, 1)
            losses = losses_of(head, image[box : box + 1], maps=maps)
            losses['loss_pos'].backward()
            levels = [bool(level.grad.any()) for level in maps[0]]
            assert any(levels)
            if losses['num_pointless_boxes']:
                assert levels == [True, False, False, False, False], 'forced points lie on a coarse level'


def test_a_tall_thin_box_takes_points_of_its_level():
    head, maps = build(force_topk=True), None
    maps = maps_of(head, 1)
    losses_of(head, instances([[1, 5, 7, 120]], [0]), maps=maps)['loss_pos'].backward()
    assert [bool(level.grad.any()) for level in maps[0]] == [False, True, False, False, False]


# ---- cost ----


def training_step(head, boxes, size=256):
    image, maps = well_formed(boxes, CLASSES, size), maps_of(head, 1, size)
    return lambda: summed(losses_of(head, image, maps=maps, size=size)).backward()


@pytest.mark.usefixtures('as_on_a_gpu')
def test_operators_do_not_depend_on_the_number_of_boxes():
    counts = {boxes: len(operators(training_step(build(force_topk=True), boxes))) for boxes in (1, 10, 100, 1000)}
    assert len(set(counts.values())) == 1, counts


@pytest.mark.usefixtures('as_on_a_gpu')
def test_a_step_reads_the_device_once():
    """The number of pairs; nothing else."""
    step = training_step(build(force_topk=True, ignore_regions=True), 9)
    reads = [name for name in operators(step) if name == 'aten::item']
    assert len(reads) == 1
    assert device_reads(step) == {'aten::item', 'aten::_local_scalar_dense'}


@pytest.mark.usefixtures('as_on_a_gpu')
def test_decoding_reads_nothing_before_results(monkeypatch):
    monkeypatch.setattr('mmdet_kpheads.heads.autoassign_head.to_instances', lambda found, *_: found)
    head = build()
    maps = flat(maps_of(head, 2))
    assert not device_reads(lambda: head.predict_by_feat(*maps, metas(2, SIZE)))


def test_pairs_in_parts_give_the_same_losses_and_gradients():
    head, image = build(force_topk=True), well_formed(20, CLASSES, SIZE)
    results = []
    for at_once in (1 << 19, 100):
        head.joint_loss = replace(head.joint_loss, pairs_at_once=at_once)
        maps = maps_of(head, 1)
        head.zero_grad()
        losses = losses_of(head, image, maps=maps)
        summed(losses).backward()
        gradients = [level.grad for levels in maps for level in levels] + [head.center_prior.mean.grad.clone()]
        results.append((list(losses.values()), gradients))
    for whole, parts in zip(*results, strict=True):
        for a, b in zip(whole, parts, strict=True):
            torch.testing.assert_close(a, b)


# ---- options ----


def test_ignore_boxes():
    head = build(ignore_regions=True)
    image, ignored = instances([[10, 10, 50, 50], [60, 60, 100, 90]], [0, 1]), [instances([[1, 1, 31, 31]], [0])]
    maps = maps_of(head, 1)
    disturbed = flat(maps)
    for levels in disturbed:
        levels[0][..., 1:4, 1:4] += 3  # points at 8, 16 and 24 px
        levels[1][..., 1, 1] += 3
    expected = losses_of(head, image, maps=flat(maps), ignored=ignored)
    assert losses_of(head, image, maps=disturbed, ignored=ignored) == expected
    assert losses_of(build(), image, maps=disturbed, ignored=ignored) != losses_of(build(), image, maps=maps)
    assert losses_of(build(), image, maps=maps, ignored=ignored) == losses_of(build(), image, maps=maps)


def test_gradients_of_half_precision_maps_are_summed_in_float32():
    """Each point lies in 400 boxes."""
    head = build()
    corner = 4 * torch.rand(400, 2)
    image = instances(torch.cat((corner, 124 + corner), 1), torch.arange(400) % CLASSES)
    maps = maps_of(head, 1)
    half = [[level.detach().bfloat16() for level in levels] for levels in maps]
    gradients = []
    for dtype in (torch.bfloat16, torch.float32):
        leaves = [[level.detach().to(dtype).requires_grad_() for level in levels] for levels in half]
        losses_of(head, image, maps=leaves)['loss_pos'].backward()
        gradients.append(torch.cat([level.grad.flatten().float() for level in leaves[2]]))
    assert (gradients[0] - gradients[1]).norm() < 5e-3 * gradients[1].norm()


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('kind', [0, 1, 2])
def test_what_is_predicted_at_an_ignored_point_does_not_matter(kind, value):
    head, image = build(ignore_regions=True), instances([[10, 10, 50, 50], [60, 60, 100, 90]], [0, 1])
    maps, ignored = maps_of(head, 1), [instances([[1, 1, 31, 31]], [0])]
    with torch.no_grad():
        maps[kind][0][..., 3, 3] = value
    loss = summed(losses_of(head, image, maps=maps, ignored=ignored))
    loss.backward()
    assert loss.isfinite()
    assert all(level.grad.isfinite().all() for levels in maps for level in levels)


def test_a_broken_box_is_seen_in_its_loss():
    head, maps = build(), flat(maps_of(build(), 1))
    maps[1][0][..., 3, 3] = math.nan
    losses = losses_of(head, instances([[10, 10, 50, 50]], [0]), maps=maps)
    assert losses['loss_pos'].isnan()
    assert losses['loss_center'] > 0


def test_ignore_boxes_belong_to_their_image():
    head = build(ignore_regions=True)
    images = [instances([[10, 10, 50, 50]], [0]), instances([[4, 4, 70, 60], [60, 60, 100, 90]], [0, 2])]
    ignored = [instances([[90, 90, 120, 120]], [0]), instances([[1, 1, 31, 31]], [0])]
    maps = flat(maps_of(head, 2))
    turned = [[level.flip(0) for level in levels] for levels in maps]
    losses = losses_of(head, *images, maps=maps, ignored=ignored)
    other = losses_of(head, *images[::-1], maps=turned, ignored=ignored[::-1])
    for name, value in losses.items():
        torch.testing.assert_close(value, other[name])


def test_an_object_inside_an_ignore_box_does_not_count():
    head, maps = build(ignore_regions=True), None
    maps = maps_of(head, 1)
    ignored = [instances([[1, 1, 60, 60]], [0])]
    both = losses_of(head, instances([[10, 10, 40, 40], [70, 70, 110, 110]], [0, 1]), maps=maps, ignored=ignored)
    alone = losses_of(head, instances([[70, 70, 110, 110]], [1]), maps=maps, ignored=ignored)
    for name in ('loss_pos', 'loss_neg', 'loss_center'):
        assert both[name] == alone[name]


@pytest.mark.parametrize('activation', ['softplus', 'exp'])
def test_other_activations_keep_the_box_branch_alive(activation):
    feature = tuple(torch.zeros(1, 4, SIZE // stride, SIZE // stride) for stride in STRIDES)
    gradients = {}
    for name in ('relu', activation):
        head = build(distance_activation=name)
        torch.nn.init.constant_(head.conv_reg.bias, -1.0)
        losses = head.loss_by_feat(*head(feature), [instances([[20, 20, 90, 90]], [0])], metas(1, SIZE))
        summed(losses).backward()
        gradients[name] = head.conv_reg.bias.grad.abs().sum()
    assert gradients['relu'] == 0
    assert gradients[activation] > 0


def test_arguments_of_fcos_are_named_in_one_warning():
    unused = dict(center_sampling=True, loss_centerness=dict(type='CrossEntropyLoss'), norm_on_bbox=True)
    with pytest.warns(KpheadsWarning, match='ignores .*center_sampling.*norm_on_bbox') as caught:
        build(**unused)
    (text,) = [str(warning.message) for warning in caught if 'arguments of FCOSHead' in str(warning.message)]
    assert all(name in text for name in unused)


def test_a_head_without_group_norm_is_warned_of():
    with pytest.warns(KpheadsWarning, match="norm_cfg={'type': 'BN'}.*group normalization"):
        build(norm_cfg=dict(type='BN'))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build()


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        (dict(forced_topk=True), TypeError, 'forced_topk'),
        (dict(distance_activation='abs'), ValueError, "distance_activation must be one of .* but got 'abs'"),
        (dict(topk=0), ValueError, 'topk must be at least 1, but got 0'),
        (dict(strides=((8, 16),)), ValueError, r'strides must be whole numbers, but got \(\(8, 16\),\)'),
        (dict(neg_loss_weight=-0.1), ValueError, 'neg_loss_weight must be a finite number, 0 or more, but is -0.1'),
        (dict(center_loss_weight=-1), ValueError, 'center_loss_weight must be a finite number, .* but is -1'),
        (dict(pos_loss_weight=float('nan')), ValueError, 'pos_loss_weight must be a finite number, .* but is nan'),
        (dict(test_cfg=dict(nms_pre=1.5)), ValueError, 'AutoAssignHead: nms_pre must be a whole number, but is 1.5'),
        (dict(test_cfg=dict(nms_cfg={})), ValueError, r"test_cfg of AutoAssignHead: unknown \['nms_cfg'\]"),
        (
            dict(loss_bbox=dict(type='FocalLoss')),
            TypeError,
            'loss_bbox: cannot use FocalLoss: .* one value per box',
        ),
    ],
)
def test_bad_options_are_named(options, error, text):
    with pytest.raises(error, match=text):
        build(**options)


def test_wrong_number_of_levels_names_both_numbers():
    with pytest.raises(ValueError, match=r'got 4 feature levels, configured for 5 strides \(8, 16, 32, 64, 128\)'):
        build()(tuple(torch.randn(1, 4, 8, 8) for _ in range(4)))


def test_a_pyramid_of_single_cells_trains_and_predicts():
    head = build(force_topk=True)
    maps = [[level[..., :1, :1].detach().requires_grad_() for level in levels] for levels in maps_of(head, 1)]
    summed(head.loss_by_feat(*maps, [instances([[1, 1, 5, 5]], [0])], metas(1, 8))).backward()
    assert len(head.predict_by_feat(*flat(maps), metas(1, 8))) == 1


# ---- prediction ----


def test_test_options_are_honored():
    def found(**options):
        head = build(test_cfg=dict(nms=None, max_per_img=-1, score_thr=0.0) | options)
        return head.predict_by_feat(*flat(maps_of(head, 1)), metas(1, SIZE))[0]

    every = found()
    assert len(every) > 800
    assert (every.scores[1:] <= every.scores[:-1]).all()
    assert len(found(max_per_img=7)) == 7
    assert len(found(nms_pre=10)) <= 50
    assert len(found(score_thr=0.9)) < len(every) / 4
    assert len(found(score_thr=1.0)) == 0
    assert len(found(nms=dict(type='nms', iou_threshold=0.3))) < len(every)
    big = found(min_bbox_size=30)
    assert 0 < len(big) < len(every)
    assert (big.bboxes[:, 2:] - big.bboxes[:, :2]).min() > 30


def test_batch_of_different_sizes_equals_single_images():
    head = build(strides=(8, 16))
    shapes = [(128, 128), (96, 128), (128, 70)]
    maps, all_metas = flat(maps_of(head, 3)), metas(3, SIZE)
    for meta, shape in zip(all_metas, shapes, strict=True):
        meta.update(img_shape=shape, ori_shape=shape)
    batch = head.predict_by_feat(*maps, all_metas)
    for index, (height, width) in enumerate(shapes):
        alone = [
            [
                level[index : index + 1, :, : -(-height // stride), : -(-width // stride)]
                for level, stride in zip(levels, head.strides, strict=True)
            ]
            for levels in maps
        ]
        meta = all_metas[index] | {'batch_input_shape': (height, width)}
        single = head.predict_by_feat(*alone, [meta])[0]
        torch.testing.assert_close(batch[index].bboxes, single.bboxes, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(batch[index].scores, single.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('value', [-100.0, 0.0, 9.0, 100.0, 60000.0])
def test_half_precision_is_finite(dtype, value):
    head = build(force_topk=True)
    for layer in (head.conv_cls, head.conv_reg, head.conv_centerness):
        torch.nn.init.constant_(layer.bias, value)
    features = tuple(torch.randn(2, 4, SIZE // stride, SIZE // stride) for stride in STRIDES)
    with torch.autocast('cpu', dtype=dtype):
        losses = head.loss_by_feat(
            *head(features), [well_formed(3, CLASSES, SIZE), well_formed(0, CLASSES, SIZE)], metas(2, SIZE)
        )
    loss = summed(losses)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize('sigma', [0.0, 1e-30, 1e30])
def test_any_sigma_gives_finite_losses(sigma):
    head = build()
    torch.nn.init.constant_(head.center_prior.sigma, sigma)
    loss = summed(losses_of(head, well_formed(5, CLASSES, SIZE)))
    loss.backward()
    assert loss.isfinite()
    assert head.center_prior.sigma.grad.isfinite().all()
    assert head.center_prior.mean.grad.isfinite().all()


def test_a_box_whose_best_points_are_ignored_still_trains():
    """Sigma 0.3: beside the points of the middle the others weigh exp(-139), which alone is 1 of its own sum."""
    head = build(strides=(8,), ignore_regions=True)
    torch.nn.init.constant_(head.center_prior.sigma, 0.3)
    maps, ignored = maps_of(head, 1), [instances([[26, 26, 102, 102]], [0])]
    loss = losses_of(head, instances([[14, 14, 114, 114]], [0]), maps=maps, ignored=ignored)['loss_pos']
    loss.backward()
    assert loss > 0
    assert maps[0][0].grad.abs().sum() > 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_saturated_logits_of_many_classes_are_finite(dtype):
    head = build(num_classes=80)
    maps = [
        [torch.full_like(level, 200.0, dtype=dtype).requires_grad_() for level in levels] for levels in maps_of(head, 1)
    ]
    loss = summed(losses_of(head, well_formed(3, 80, SIZE), maps=maps))
    loss.backward()
    assert loss.isfinite()
    assert all(level.grad.isfinite().all() for levels in maps for level in levels)
