"""What users were promised of CenterNetHead: degenerate input, options, batches, precision."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmdet_kpheads.heads import CenterNetHead
from tests.profiling import device_reads, operators
from tests.scenes import instances, metas, random_maps, well_formed
from tests.training import BACKEND

SIZE, CELLS, CLASSES = 128, 32, 3


def build(**options) -> CenterNetHead:
    options.setdefault('backend', BACKEND.get())
    return CenterNetHead(8, 8, options.pop('num_classes', CLASSES), **options)


def losses_of(head, *images, maps=None, ignored=None, size=SIZE):
    maps = maps or random_maps(len(images), head.num_classes, size // 4)
    return head.loss_by_feat(*[[m] for m in maps], list(images), metas(len(images), size), ignored)


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


def flat(*maps):
    return [[m.detach()] for m in maps]


# ---- ground truth as it really is ----

HOSTILE = {
    'left': [-30, 10, -5, 40],
    'across the left edge': [-30, 10, 20, 40],
    'right': [140, 10, 170, 40],
    'center beyond the right edge': [120, 10, 150, 40],
    'above': [10, -50, 40, -10],
    'below': [10, 130, 40, 170],
    'exactly the image': [0, 0, 128, 128],
    'ends at the edge': [100, 100, 128, 128],
    'no width at the edge': [128, 10, 128, 40],
    'no width': [50, 10, 50, 40],
    'reversed': [60, 60, 40, 40],
    'nan': [float('nan'), 1, 2, 3],
    'inf': [0, 0, float('inf'), 3],
    'huge': [-1e30, -1e30, 1e30, 1e30],
    'tiny': [5.0, 5.0, 5.0001, 5.0001],
}


@pytest.mark.parametrize('options', [{}, {'size_encoding': 'log'}, {'loss_bbox': dict(type='GIoULoss')}])
@pytest.mark.parametrize('name', HOSTILE)
def test_any_box_gives_finite_losses_and_gradients(name, options):
    maps = random_maps(1, CLASSES, CELLS)
    losses = losses_of(build(**options), instances([HOSTILE[name]], [1]), maps=maps)
    total(losses).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(m.grad.isfinite().all() for m in maps)
    dropped = name in {'left', 'right', 'above', 'below', 'no width at the edge', 'no width', 'reversed', 'nan', 'inf'}
    assert losses['num_dropped_boxes'] == dropped


@pytest.mark.parametrize('images', [[0, 0], [0, 4], [4, 0]])
def test_every_parameter_gets_a_gradient_with_empty_images(images):
    head = build(loss_bbox=dict(type='GIoULoss', loss_weight=1.0))
    truth = [well_formed(count, CLASSES, SIZE) for count in images]
    total(head.loss_by_feat(*head((torch.randn(2, 8, CELLS, CELLS),)), truth, metas(2, SIZE))).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


def test_an_empty_image_does_not_care_about_infinite_sizes():
    maps = random_maps(1, CLASSES, CELLS)
    maps[1].data.fill_(torch.inf)
    losses = losses_of(build(), instances([], []), maps=maps)
    assert losses['loss_wh'] == 0


def test_a_wrong_label_names_head_and_classes():
    with pytest.raises(ValueError, match='label 3 >= num_classes 3 in CenterNetHead'):
        losses_of(build(), instances([[0, 0, 9, 9]], [3]))


def test_loss_is_independent_of_predictions_inside_ignore_boxes():
    head = build(ignore_regions=True, loss_bbox=dict(type='GIoULoss'))
    image = instances([[8, 8, 24, 24], [60, 60, 100, 90]], [0, 1])
    ignored = [instances([[0, 0, 32, 32]], [0])]
    maps = random_maps(1, CLASSES, CELLS)
    disturbed = [m.detach().clone() for m in maps]
    for m in disturbed:
        m[..., :8, :8] += 3
    assert losses_of(head, image, maps=maps, ignored=ignored) == losses_of(head, image, maps=disturbed, ignored=ignored)
    plain = build()
    without = losses_of(plain, image, maps=maps)
    assert without == losses_of(plain, image, maps=maps, ignored=ignored)  # off by default, as in the paper
    assert without['loss_center_heatmap'] != losses_of(plain, image, maps=disturbed)['loss_center_heatmap']


def training_step(head, boxes, size=256):
    image, maps = well_formed(boxes, CLASSES, size), random_maps(1, CLASSES, size // 4)
    return lambda: total(losses_of(head, image, maps=maps, size=size)).backward()


@pytest.mark.usefixtures('as_on_a_gpu')
def test_operators_do_not_depend_on_the_number_of_boxes():
    head = build(loss_bbox=dict(type='GIoULoss'), ignore_regions=True)
    counts = {boxes: len(operators(training_step(head, boxes))) for boxes in (1, 10, 100, 1000)}
    assert len(set(counts.values())) == 1, counts


@pytest.mark.usefixtures('as_on_a_gpu')
def test_a_step_reads_nothing_from_the_device():
    assert not device_reads(training_step(build(loss_bbox=dict(type='GIoULoss'), ignore_regions=True), 9))


@pytest.mark.usefixtures('as_on_a_gpu')
def test_decoding_reads_nothing_before_results(monkeypatch):
    monkeypatch.setattr('mmdet_kpheads.heads.heatmap_head.to_instances', lambda found, *_, **__: found)
    maps = flat(*random_maps(2, CLASSES, CELLS))
    assert not device_reads(lambda: build().predict_by_feat(*maps, metas(2, SIZE)))


def test_three_thousand_objects_train():
    maps = random_maps(1, CLASSES, 128)
    losses = losses_of(build(), well_formed(3000, CLASSES, 512), maps=maps, size=512)
    total(losses).backward()
    assert losses['num_shared_cells'] == 0
    # every object pulls at its own cell: 3000 distinct cells with a gradient
    assert (maps[2].grad.abs().sum(1) > 0).sum() == 3000


# ---- options of the loss ----


def test_radius_modes_change_the_heat_map_only():
    image = instances([[10, 10, 110, 110]], [0])
    maps = random_maps(1, CLASSES, CELLS)
    exact, legacy = (losses_of(build(radius=mode), image, maps=maps) for mode in ('exact', 'legacy'))
    assert exact['loss_center_heatmap'] != legacy['loss_center_heatmap']
    assert exact['loss_wh'] == legacy['loss_wh']
    assert build().options.overlap == 0.3
    assert build(radius='legacy').options.overlap == 0.7
    assert build(radius='legacy', min_overlap=0.5).options.overlap == 0.5


def test_giou_gradient_does_not_depend_on_the_scale():
    """With log sizes, scaling box and prediction alike leaves the gradient of GIoU as it is; that of L1 grows."""
    gradients = {}
    for kind, options in {
        'giou': dict(loss_wh=None, size_encoding='log', loss_bbox=dict(type='GIoULoss', loss_weight=1.0, eps=1e-9)),
        'l1': dict(size_encoding='linear'),
    }.items():
        for scale in (1, 4):
            box = torch.tensor([[64.0 - 8, 64 - 6, 64 + 8, 64 + 6]])
            box = (box - 64) * scale + 64 + 2  # center at half a cell
            size = torch.tensor([6.0, 2.0]) * scale  # prediction in cells: the truth is 4 x 3 at scale 1
            raw = (size.log() if kind == 'giou' else size).view(1, 2, 1, 1).expand(1, 2, CELLS, CELLS)
            raw = raw.clone().requires_grad_()
            offset = torch.full((1, 2, CELLS, CELLS), 0.5)
            maps = [torch.zeros(1, CLASSES, CELLS, CELLS), raw, offset]
            losses = losses_of(build(**options), InstanceData(bboxes=box, labels=torch.tensor([0])), maps=maps)
            losses['loss_bbox' if kind == 'giou' else 'loss_wh'].backward()
            gradients[kind, scale] = raw.grad.sum((0, 2, 3)) * (size if kind == 'l1' else 1)  # by relative size
    assert gradients['giou', 1].abs().min() > 0
    torch.testing.assert_close(gradients['giou', 1], gradients['giou', 4], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gradients['l1', 1] * 4, gradients['l1', 4])


@pytest.mark.parametrize('encoding', ['linear', 'log'])
def test_giou_and_size_loss_of_a_perfect_prediction_are_zero(encoding):
    image = instances([[10, 20, 50, 44]], [1])
    head = build(loss_bbox=dict(type='GIoULoss', loss_weight=2.0), size_encoding=encoding)
    dense, _ = head.get_targets([image.bboxes], [image.labels], (1, CLASSES, CELLS, CELLS), (SIZE, SIZE))
    sizes = dense['wh_target'].log() if encoding == 'log' else dense['wh_target']
    losses = losses_of(head, image, maps=[torch.zeros(1, CLASSES, CELLS, CELLS), sizes, dense['offset_target']])
    assert losses['loss_bbox'] < 1e-5
    assert losses['loss_wh'] == losses['loss_offset'] == 0


def test_giou_by_hand():
    """A box of 4 x 4 cells, predicted one cell to the right: I = 12, U = 20, E = 20, so 1 - 12 / 20, times 2.

    And a predicted size below 0 counts as 0: I = 0, U = E = 16.
    """
    head = build(loss_bbox=dict(type='GIoULoss', loss_weight=2.0))
    sizes, offsets = torch.full((1, 2, CELLS, CELLS), 4.0), torch.full((1, 2, CELLS, CELLS), 0.5)
    image, heat = instances([[34, 34, 50, 50]], [0]), torch.zeros(1, CLASSES, CELLS, CELLS)
    shifted = offsets + torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert losses_of(head, image, maps=[heat, sizes, shifted])['loss_bbox'].item() == pytest.approx(0.8)
    assert losses_of(head, image, maps=[heat, -sizes, offsets])['loss_bbox'].item() == pytest.approx(2.0)


def test_any_log_size_is_finite():
    head = build(size_encoding='log', loss_bbox=dict(type='GIoULoss'))
    heat, size, offset = random_maps(1, CLASSES, CELLS)
    size.data.fill_(1000.0)
    losses = losses_of(head, well_formed(3, CLASSES, SIZE), maps=[heat, size, offset])
    losses['loss_bbox'].backward()
    assert losses['loss_bbox'].isfinite() and size.grad.isfinite().all()
    (found,) = head.predict_by_feat(*flat(heat, size, offset), metas(1, SIZE))
    assert (found.bboxes == torch.tensor([0.0, 0, SIZE, SIZE])).all()


def test_class_specific_sizes_keep_two_objects_of_one_cell():
    head = build(class_specific_wh=True)
    image = instances([[10, 10, 30, 30], [15, 15, 25, 25]], [0, 2])
    maps = random_maps(1, CLASSES, CELLS, size_channels=2 * CLASSES)
    losses = losses_of(head, image, maps=maps)
    losses['loss_wh'].backward()
    touched = maps[1].grad.abs().sum((0, 2, 3)) > 0
    assert touched.tolist() == [True, True, False, False, True, True]
    assert losses['num_shared_cells'] == 0


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        (dict(size_encoding='exp'), ValueError, "size_encoding must be one of .* but got 'exp'"),
        (dict(radius='old'), ValueError, "radius must be one of .* but got 'old'"),
        (dict(min_overlap=1.5), ValueError, 'min_overlap must be between 0 and 1, but got 1.5'),
        (dict(test_cfg=dict(topK=3)), ValueError, r"test_cfg of CenterNetHead: unknown \['topK'\]; it reads .*topk"),
        (
            dict(loss_wh=dict(type='GIoULoss')),
            TypeError,
            'loss_wh: cannot use GIoULoss: .* one value per number',
        ),
        (
            dict(loss_bbox=dict(type='L1Loss')),
            TypeError,
            'loss_bbox: cannot use L1Loss: .* one value per box',
        ),
        (dict(loss_center_heatmap=dict(type='mmdet.GaussianFocalLoss')), TypeError, 'the head returns logits'),
        (dict(loss_wh=dict(loss_weight=1.0)), ValueError, "loss_wh has no type: {'loss_weight': 1.0}"),
        (dict(loss_wh=dict(type='L1Loss', loss_weight=-1)), ValueError, r'loss_wh\.loss_weight must be .* but is -1'),
        (dict(loss_wh=dict(type='L1Loss', loss_weight='1')), ValueError, r"loss_wh\.loss_weight must be .* is '1'"),
        (dict(test_cfg=dict(local_maximum_kernel=2)), ValueError, 'local_maximum_kernel must be a positive odd number'),
        (dict(test_cfg=dict(topk=0)), ValueError, 'topk must be a whole number of at least 1, but is 0'),
        (dict(test_cfg=dict(topk=True)), ValueError, 'topk must be a whole number of at least 1, but is True'),
        (dict(test_cfg=dict(score_thr='0.3')), ValueError, "score_thr must be a number, but is '0.3'"),
        (dict(test_cfg=dict(max_per_img=None)), ValueError, 'max_per_img must be a whole number, but is None'),
        (dict(test_cfg=dict(nms='nms')), ValueError, "nms must be None, or a dict with a type of .* but is 'nms'"),
        (dict(test_cfg=dict(nms=dict(type='x', iou_threshold=0.5))), ValueError, 'nms must be None, or a dict'),
        (dict(test_cfg=dict(nms=dict(type='nms'))), ValueError, 'nms must be None, .* and an iou_threshold'),
    ],
)
def test_bad_options_are_named(options, error, text):
    with pytest.raises(error, match=text):
        build(**options)


def test_nms_without_a_type_is_plain_nms():
    heat, size, offset = flat(*random_maps(1, CLASSES, CELLS))
    plain, typed = (
        build(test_cfg=dict(nms=options)).predict_by_feat(heat, size, offset, metas(1, SIZE))[0]
        for options in (dict(iou_threshold=0.3), dict(type='nms', iou_threshold=0.3))
    )
    torch.testing.assert_close(plain.bboxes, typed.bboxes)
    assert 0 < len(plain) < len(build().predict_by_feat(heat, size, offset, metas(1, SIZE))[0])


# ---- several levels ----


def test_several_levels_need_a_choice():
    levels = tuple(torch.randn(1, 8, 32 >> i, 32 >> i) for i in range(5))
    with pytest.raises(ValueError, match='CenterNetHead got 5 feature levels, configured for 1: set feat_level'):
        build()(levels)
    with pytest.raises(ValueError, match='feat_level 7 does not exist, the features have 5 levels'):
        build(feat_level=7)(levels)
    heat, _, _ = build(feat_level=1)(levels)
    assert heat[0].shape == (1, CLASSES, 16, 16)
    with pytest.raises(ValueError, match='num_feat_levels=5 for stacks of one size'):
        build()(levels)
    with pytest.raises(ValueError, match='feat_level picks one feature map: num_feat_levels must be 1, but got 2'):
        build(feat_level=1, num_feat_levels=2)
    with pytest.raises(ValueError, match=r'predictions of \[2, 1, 1\] levels'):
        build().predict_by_feat([1, 2], [1], [1], metas(1, SIZE))


# ---- prediction ----


def test_border_is_optional_and_scale_factor_is_used():
    head = build(test_cfg=dict(topk=1))
    heat = torch.full((1, CLASSES, CELLS, CELLS), -9.0)
    heat[0, 0, 16, 16] = 3
    maps = flat(heat, torch.full((1, 2, CELLS, CELLS), 4.0), torch.zeros(1, 2, CELLS, CELLS))
    meta = dict(batch_input_shape=(SIZE, SIZE), img_shape=(SIZE, SIZE), ori_shape=(SIZE * 2, SIZE * 2))
    box = head.predict_by_feat(*maps, [dict(meta, scale_factor=(0.5, 0.5))])[0].bboxes
    assert box.tolist() == [[112.0, 112.0, 144.0, 144.0]]
    with pytest.raises(KeyError, match=r'scale_factor: the image was resized from \(256, 256\) to \(128, 128\)'):
        head.predict_by_feat(*maps, [meta])
    assert head.predict_by_feat(*maps, [meta], rescale=False)[0].bboxes.tolist() == [[56.0, 56.0, 72.0, 72.0]]
    assert len(head.predict_by_feat(*maps, [dict(meta, border=(0, 128, 0, 128))])[0]) == 1


@pytest.mark.parametrize('topk', [1, 5, 100, 5000])
@pytest.mark.parametrize('cells', [1, 8])
def test_topk_beyond_the_map(topk, cells):
    head = build(num_classes=1, test_cfg=dict(topk=topk, max_per_img=-1))
    size = cells * 4
    results = head.predict_by_feat(*flat(*random_maps(2, 1, cells)), metas(2, size))
    assert all(1 <= len(result) <= min(topk, cells * cells) for result in results)


def test_a_thousand_detections_come_out():
    head = build(test_cfg=dict(topk=1000, max_per_img=1000))
    heat = torch.full((1, CLASSES, 128, 128), -20.0)
    heat[:, :, ::4, ::4] = torch.randn(1, CLASSES, 32, 32)
    sizes = torch.ones(1, 2, 128, 128) * 2
    result = head.predict_by_feat([heat], [sizes], [sizes * 0.2], metas(1, 512))[0]
    assert len(result) == 1000
    assert (result.scores.diff() <= 0).all()


def test_score_threshold_and_max_per_img_with_and_without_nms():
    maps = flat(*random_maps(1, CLASSES, CELLS))
    blank = [[torch.full((1, CLASSES, CELLS, CELLS), -13.8)], *maps[1:]]
    assert len(build(test_cfg=dict(score_thr=0.05)).predict_by_feat(*blank, metas(1, SIZE))[0]) == 0
    nms = dict(type='nms', iou_threshold=0.3)
    for options in ({}, {'nms': nms}):
        limited = build(test_cfg=dict(max_per_img=5, **options)).predict_by_feat(*maps, metas(1, SIZE))[0]
        assert len(limited) == len(limited.labels) == 5
        free = build(test_cfg=dict(max_per_img=-1, **options)).predict_by_feat(*maps, metas(1, SIZE))[0]
        assert len(free.bboxes) == len(free.labels) == len(free.scores) > 5
    with pytest.raises(ValueError, match='with_nms=True needs test_cfg'):
        build().predict_by_feat(*maps, metas(1, SIZE), with_nms=True)


def test_nan_heat_gives_nothing():
    maps = flat(
        torch.full((1, CLASSES, CELLS, CELLS), torch.nan),
        torch.ones(1, 2, CELLS, CELLS),
        torch.ones(1, 2, CELLS, CELLS),
    )
    assert len(build().predict_by_feat(*maps, metas(1, SIZE))[0]) == 0


def test_half_precision_saturated_scores_give_one_box_a_plateau():
    heat = torch.full((1, 1, CELLS, CELLS), -12.0, dtype=torch.float16)
    heat[..., 4:6, 4:6] = 12
    maps = [heat], [torch.ones(1, 2, CELLS, CELLS).half()], [torch.zeros(1, 2, CELLS, CELLS).half()]
    result = build(num_classes=1, test_cfg=dict(score_thr=0.5)).predict_by_feat(*maps, metas(1, SIZE))[0]
    assert len(result) == 1


def test_batch_of_different_sizes_equals_single_images():
    shapes = [(128, 128), (96, 128), (128, 70), (61, 33)]
    all_metas = metas(4, SIZE)
    for meta, shape in zip(all_metas, shapes, strict=True):
        meta.update(img_shape=shape, ori_shape=shape)
    maps = [m.detach() for m in random_maps(4, CLASSES, CELLS)]
    head = build()
    batch = head.predict_by_feat(*[[m] for m in maps], all_metas)
    for index, (h, w) in enumerate(shapes):
        rows, columns = -(-h // 4), -(-w // 4)
        alone = [[m[index : index + 1, :, :rows, :columns]] for m in maps]
        meta = dict(all_metas[index], batch_input_shape=(rows * 4, columns * 4))
        single = head.predict_by_feat(*alone, [meta])[0]
        torch.testing.assert_close(batch[index].bboxes, single.bboxes, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(batch[index].scores, single.scores)
        assert torch.equal(batch[index].labels, single.labels)
        assert (batch[index].bboxes <= torch.tensor([w, h, w, h])).all()


# ---- stacks of an Hourglass ----


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_each_stack_is_supervised_by_itself(reduction):
    head, one = build(num_feat_levels=2, stack_reduction=reduction), build()
    image = well_formed(5, CLASSES, SIZE)
    stacks = [random_maps(1, CLASSES, CELLS, seed=seed) for seed in (0, 1)]
    losses = head.loss_by_feat(*(list(maps) for maps in zip(*stacks, strict=True)), [image], metas(1, SIZE))
    share = 0.5 if reduction == 'mean' else 1.0
    for name in ('loss_center_heatmap', 'loss_wh', 'loss_offset'):
        alone = [losses_of(one, image, maps=maps)[name] * share for maps in stacks]
        torch.testing.assert_close(losses[name], alone)
    assert losses['num_dropped_boxes'] == 0


def test_branches_of_stacks_have_their_own_weights_and_prediction_reads_the_last():
    head = build(num_feat_levels=2)
    head.init_weights()
    features = [torch.randn(1, 8, CELLS, CELLS) for _ in range(2)]
    maps = head(features)
    assert [len(levels) for levels in maps] == [2, 2, 2]
    for level in (0, 1):
        torch.testing.assert_close(maps[0][level].sigmoid().mean(), torch.tensor(0.1), atol=0.05, rtol=0)
    last = [levels[1:] for levels in flat_levels(maps)]
    both, alone = (head.predict_by_feat(*m, metas(1, SIZE))[0] for m in (flat_levels(maps), last))
    torch.testing.assert_close(both.bboxes, alone.bboxes)
    total(
        {
            name: sum(value)
            for name, value in head.loss_by_feat(*maps, [well_formed(3, CLASSES, SIZE)], metas(1, SIZE)).items()
            if 'loss' in name
        }
    ).backward()
    assert all(value.grad is not None for value in head.parameters())


def test_stacks_of_different_sizes_are_refused():
    maps = [[torch.randn(1, channels, cells, cells) for cells in (32, 16)] for channels in (CLASSES, 2, 2)]
    with pytest.raises(ValueError, match='needs levels of one size'):
        build(num_feat_levels=2).loss_by_feat(*maps, [well_formed(3, CLASSES, SIZE)], metas(1, SIZE))


def flat_levels(maps):
    return [[level.detach() for level in levels] for levels in maps]
