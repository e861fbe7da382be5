"""What users were promised of CornerNetHead: degenerate input, options, embeddings, batches, precision."""

import pytest
import torch

from mmdet_kpheads.functional.embedding import PairingReport
from mmdet_kpheads.heads import CornerNetHead
from tests.heads.test_centernet_head import HOSTILE
from tests.profiling import device_reads, operators
from tests.scenes import instances, metas, well_formed
from tests.training import BACKEND

SIZE, CELLS, CLASSES = 128, 32, 3
SOFT_NMS = dict(type='soft_nms', iou_threshold=0.5, method='gaussian')


def build(**options) -> CornerNetHead:
    options = dict(num_classes=CLASSES, in_channels=4, num_feat_levels=1) | options
    options.setdefault('backend', BACKEND.get())
    return CornerNetHead(**options)


def maps_of(head, batch, cells=CELLS, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def maps(channels, shift=0.0):
        shape = (batch, channels, cells, cells)
        return [(torch.randn(shape, generator=generator) + shift).requires_grad_() for _ in range(head.num_feat_levels)]

    tags = [maps(head.corner_emb_channels) if head.with_corner_emb else [None] * head.num_feat_levels for _ in range(2)]
    heats, offsets = ([maps(*spec) for _ in range(2)] for spec in ((head.num_classes, -2.0), (2, 0.5)))
    return [*heats, *tags, *offsets]


def losses_of(head, *images, maps=None, size=SIZE, ignored=None):
    return head.loss_by_feat(
        *(maps or maps_of(head, len(images), size // 4)), list(images), metas(len(images), size), ignored
    )


def total(losses):
    return sum(sum(levels) for name, levels in losses.items() if 'loss' in name)


def flat(maps):
    return [[None if level is None else level.detach().clone() for level in levels] for levels in maps]


@pytest.mark.parametrize('name', HOSTILE)
def test_any_box_gives_finite_losses_and_gradients(name):
    head = build()
    maps = maps_of(head, 1)
    loss = total(losses_of(head, instances([HOSTILE[name]], [1]), maps=maps))
    loss.backward()
    assert loss.isfinite()
    assert all(level.grad.isfinite().all() for levels in maps for level in levels)


def test_a_box_beyond_the_border_has_the_clipped_corner():
    targets = build().get_targets(
        [torch.tensor([[-12.0, -30, 60, 60], [80, 90, 200, 300]])],
        [torch.tensor([0, 1])],
        (1, CLASSES, CELLS, CELLS),
        (SIZE, SIZE),
    )
    assert targets['topleft_heatmap'][0, 0, 0, 0] == 1
    assert targets['bottomright_heatmap'][0, 1, 31, 31] == 1
    assert targets['bottomright_offset'][0, :, 31, 31].tolist() == [1.0, 1.0]


@pytest.mark.parametrize('counts', [(0, 0), (0, 3), (1, 1)])
@pytest.mark.parametrize('channels', [0, 1, 4])
def test_every_parameter_gets_a_gradient(counts, channels):
    head = build(corner_emb_channels=channels, num_feat_levels=2)
    features = tuple(torch.randn(2, 4, 16, 16) for _ in range(2))
    truth = [well_formed(count, CLASSES, 64, seed) for seed, count in enumerate(counts)]
    total(head.loss_by_feat(*head(features), truth, metas(2, 64))).backward()
    missing = [name for name, parameter in head.named_parameters() if parameter.grad is None]
    assert not missing


def test_single_object_images_have_no_push():
    head = build()
    for batch in (1, 2, 5):
        losses = losses_of(head, *[well_formed(1, CLASSES, SIZE, seed) for seed in range(batch)])
        assert losses['push_loss'][0] == 0
        assert losses['pull_loss'][0] > 0


def training_step(head, boxes, size=256):
    image, maps = well_formed(boxes, CLASSES, size), maps_of(head, 1, size // 4)
    return lambda: total(losses_of(head, image, maps=maps, size=size)).backward()


@pytest.mark.usefixtures('as_on_a_gpu')
def test_operators_do_not_depend_on_the_number_of_boxes():
    counts = {boxes: len(operators(training_step(build(), boxes))) for boxes in (1, 10, 100, 1000)}
    assert len(set(counts.values())) == 1, counts


@pytest.mark.usefixtures('as_on_a_gpu')
def test_a_step_reads_nothing_from_the_device():
    assert not device_reads(training_step(build(ignore_regions=True), 9))


@pytest.mark.usefixtures('as_on_a_gpu')
def test_decoding_reads_nothing_before_results(monkeypatch):
    monkeypatch.setattr('mmdet_kpheads.heads.heatmap_head.to_instances', lambda found, *_, **__: found)
    head = build()
    maps = flat(maps_of(head, 2))
    assert not device_reads(lambda: head.predict_by_feat(*maps, metas(2, SIZE)))


def test_ignore_boxes():
    head = build(ignore_regions=True)
    image, ignored = instances([[8, 8, 24, 24], [60, 60, 100, 90]], [0, 1]), [instances([[0, 0, 32, 32]], [0])]
    maps = maps_of(head, 1)
    disturbed = flat(maps)
    for levels in disturbed:
        levels[0][..., :8, :8] += 3
    assert losses_of(head, image, maps=maps, ignored=ignored) == losses_of(head, image, maps=disturbed, ignored=ignored)
    assert losses_of(build(), image, maps=maps) != losses_of(build(), image, maps=disturbed)


def test_shared_cells_of_both_corners_are_counted():
    """The first two boxes share the top-left cell, the last two the bottom-right one, whatever their classes."""
    boxes = [[8, 8, 40, 40], [9, 9, 60, 60], [20, 20, 61, 61]]
    assert losses_of(build(), instances(boxes, [0, 1, 1]))['num_shared_cells'] == 2


def test_mean_over_stacks():
    image = well_formed(5, CLASSES, SIZE)
    added, averaged = (build(num_feat_levels=3, stack_reduction=how) for how in ('sum', 'mean'))
    maps = maps_of(added, 1)
    torch.testing.assert_close(
        total(losses_of(added, image, maps=maps)), 3 * total(losses_of(averaged, image, maps=maps))
    )


# ---- embeddings and grouping ----


@pytest.mark.parametrize('channels', [0, 1, 2, 8])
def test_any_number_of_channels_in_loss_and_decoding(channels):
    head = build(corner_emb_channels=channels, test_cfg=dict(distance_threshold=3.0))
    losses = losses_of(head, well_formed(3, CLASSES, SIZE))
    assert ('pull_loss' in losses) == (channels > 0)
    assert len(head.predict_by_feat(*flat(maps_of(head, 1)), metas(1, SIZE))[0]) > 0


def test_tags_without_a_loss_are_still_reported():
    head = build(loss_embedding=None, corner_emb_channels=2)
    losses = losses_of(head, well_formed(3, CLASSES, SIZE))
    assert not {'pull_loss', 'push_loss'} & losses.keys() and {*PairingReport._fields} < losses.keys()


def two_objects(head, tags):
    """Perfect maps of two objects of one class whose boxes could also be paired crosswise."""
    boxes = torch.tensor([[10.0, 10, 50, 50], [30.0, 30, 90, 90]])
    dense = head.get_targets([boxes], [torch.tensor([0, 0])], (1, CLASSES, CELLS, CELLS), (SIZE, SIZE))
    maps = [[torch.where(dense[f'{corner}_heatmap'] == 1, 4.0, -12.0)] for corner in ('topleft', 'bottomright')]
    if head.with_corner_emb:
        for first, second in (((2, 2), (7, 7)), ((12, 12), (22, 22))):
            tag_map = torch.zeros(1, len(tags[0]), CELLS, CELLS)
            tag_map[0, :, first[0], first[1]] = torch.tensor(tags[0])
            tag_map[0, :, second[0], second[1]] = torch.tensor(tags[1])
            maps.append([tag_map])
    else:
        maps += [[None], [None]]
    return [*maps, [dense['topleft_offset']], [dense['bottomright_offset']]], boxes


def test_tags_pair_the_right_corners():
    head = build(test_cfg=dict(score_thr=0.5))
    maps, boxes = two_objects(head, ([0.0], [2.0]))
    found = head.predict_by_feat(*maps, metas(1, SIZE))[0]
    assert sorted(found.bboxes.tolist()) == boxes.tolist()
    maps, boxes = two_objects(head, ([0.0], [0.1]))  # tags too near: the box around both comes too
    assert [10.0, 10, 90, 90] in head.predict_by_feat(*maps, metas(1, SIZE))[0].bboxes.tolist()
    untagged = build(corner_emb_channels=0, test_cfg=dict(score_thr=0.5))
    assert len(untagged.predict_by_feat(*two_objects(untagged, None)[0], metas(1, SIZE))[0]) == 4


def test_vector_tags_use_the_distance_of_the_loss():
    """(0.4, 0.4) apart: 0.8 in L1, 0.57 in L2; the threshold 0.6 lies between."""
    for distance, boxes in (('l1', 2), ('l2', 4)):
        head = build(
            corner_emb_channels=2,
            loss_embedding=dict(type='AssociativeEmbeddingLoss', distance=distance),
            test_cfg=dict(distance_threshold=0.6, score_thr=0.5),
        )
        found = head.predict_by_feat(*two_objects(head, ([0.0, 0.0], [0.4, 0.4]))[0], metas(1, SIZE))[0]
        assert len(found) == boxes


@pytest.mark.parametrize('kind', ['TripletHardLoss', 'TripletSemiHardLoss'])
def test_a_triplet_loss_groups_corners(kind):
    head = build(corner_emb_channels=8, loss_embedding=dict(type='CornerTripletLoss', triplet=dict(type=kind)))
    losses = losses_of(head, well_formed(4, CLASSES, SIZE), well_formed(1, CLASSES, SIZE))
    assert 'group_loss' in losses
    assert 'pull_loss' not in losses
    total(losses).backward()


@pytest.mark.parametrize(
    ('options', 'error', 'text'),
    [
        (
            dict(loss_embedding=dict(type='mmdet.AssociativeEmbeddingLoss')),
            TypeError,
            'loss_embedding: cannot use',
        ),
        (
            dict(loss_embedding=dict(type='AssociativeEmbeddingLoss', push_weight=-1.0)),
            ValueError,
            r'loss_embedding\.push_weight must be a finite number, 0 or more, but is -1.0',
        ),
        (dict(stack_reduction='max'), ValueError, "stack_reduction must be one of .* but got 'max'"),
        (dict(feat_level=1, num_feat_levels=2), ValueError, 'num_feat_levels must be 1, but got 2'),
        (dict(test_cfg=dict(nms_cfg=SOFT_NMS)), ValueError, r"test_cfg of CornerNetHead: unknown \['nms_cfg'\]"),
    ],
)
def test_bad_options_are_named(options, error, text):
    with pytest.raises(error, match=text):
        build(**options)


def test_wrong_number_of_levels_names_both_numbers():
    pyramid = tuple(torch.randn(1, 4, 32 >> level, 32 >> level) for level in range(5))
    with pytest.raises(ValueError, match='got 5 feature levels, configured for 1'):
        build()(pyramid)
    assert build(feat_level=1)(pyramid)[0][0].shape[-1] == 16
    assert build(feat_level=-1)(pyramid)[0][0].shape[-1] == 2
    assert build(feat_level=-5)(pyramid)[0][0].shape[-1] == 32
    for level in (5, -6):
        with pytest.raises(ValueError, match=f'feat_level {level} does not exist, the features have 5 levels'):
            build(feat_level=level)(pyramid)
    head = build(num_feat_levels=5)
    with pytest.raises(ValueError, match='CornerNetHead needs levels of one size'):
        head.loss_by_feat(*head(pyramid), [well_formed(1, CLASSES, SIZE)], metas(1, SIZE))


# ---- prediction ----


@pytest.mark.parametrize('nms', [None, SOFT_NMS, dict(type='nms', iou_threshold=0.5)])
@pytest.mark.parametrize('topk', [1, 5, 20])
@pytest.mark.parametrize('cells', [1, 8])
def test_small_maps_and_few_corners(topk, cells, nms):
    head = build(num_classes=1, test_cfg=dict(corner_topk=topk, max_per_img=-1, nms=nms, distance_threshold=9.0))
    for result in head.predict_by_feat(*flat(maps_of(head, 2, cells)), metas(2, cells * 4)):
        assert len(result.bboxes) == len(result.scores) == len(result.labels)
        assert (result.bboxes[:, 2:] > result.bboxes[:, :2]).all()


def test_test_options_are_honored():
    def found(**options):
        head = build(test_cfg=dict(distance_threshold=9.0, max_per_img=-1) | options)
        return head.predict_by_feat(*flat(maps_of(head, 1)), metas(1, SIZE))[0]

    every = found()
    assert len(every) > 300
    assert len(found(num_dets=50)) == 50
    assert len(found(max_per_img=7, nms=SOFT_NMS)) == 7
    assert len(found(max_per_img=7)) == 7
    assert len(found(distance_threshold=0.1)) < len(every) / 4
    threshold = every.scores.median()
    assert len(found(score_thr=float(threshold))) == (every.scores > threshold).sum()
    assert len(found(local_maximum_kernel=7, corner_topk=1000)) < len(found(corner_topk=1000))
    assert len(found(score_thr=0.999)) == 0


def test_batch_of_different_sizes_equals_single_images():
    head = build(test_cfg=dict(nms=SOFT_NMS, distance_threshold=2.0))
    shapes = [(128, 128), (96, 128), (128, 70)]
    maps, all_metas = flat(maps_of(head, 3)), metas(3, SIZE)
    for meta, shape in zip(all_metas, shapes, strict=True):
        meta.update(img_shape=shape, ori_shape=shape)
    batch = head.predict_by_feat(*maps, all_metas)
    for index, (h, w) in enumerate(shapes):
        rows, columns = -(-h // 4), -(-w // 4)
        alone = [[level[index : index + 1, :, :rows, :columns] for level in levels] for levels in maps]
        single = head.predict_by_feat(*alone, [dict(all_metas[index], batch_input_shape=(rows * 4, columns * 4))])[0]
        torch.testing.assert_close(batch[index].bboxes, single.bboxes, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(batch[index].scores, single.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('value', [-100.0, 9.0, 100.0, 60000.0])
def test_half_precision_is_finite(dtype, value):
    head = build(num_feat_levels=2)
    for name, parameter in head.named_parameters():
        if name.endswith('1.conv.bias'):
            torch.nn.init.constant_(parameter, value)
    with torch.autocast('cpu', dtype=dtype):
        maps = head(tuple(torch.randn(2, 4, 16, 16) for _ in range(2)))
        losses = head.loss_by_feat(*maps, [well_formed(3, CLASSES, 64), well_formed(1, CLASSES, 64)], metas(2, 64))
    loss = total(losses)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
