import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmdet_kpheads.detectors import FlipAverage, FlipJoin
from mmdet_kpheads.heads import CornerNetHead
from tests.reference.corner import join
from tests.scenes import metas, well_formed
from tests.training import samples_of, small_detector

SIZE, CLASSES = 64, 3
SOFT_NMS = dict(type='soft_nms', iou_threshold=0.5, method='gaussian')


def detector():
    torch.manual_seed(5)
    model = small_detector('mmdet_kpheads.CenterNetHead', CLASSES)
    for branch in (model.bbox_head.wh_head, model.bbox_head.offset_head):
        torch.nn.init.normal_(branch[-1].weight)
    torch.nn.init.constant_(model.bbox_head.wh_head[-1].bias, 4.0)
    return model.eval()


def batch(images):
    ground_truth = [well_formed(2, CLASSES, SIZE) for _ in images]
    return dict(inputs=list(images), data_samples=samples_of(ground_truth, SIZE))


def corner_detector():
    torch.manual_seed(5)
    options = dict(num_feat_levels=1, pool_channels=8)
    model = small_detector('mmdet_kpheads.CornerNetHead', CLASSES, **options)
    model.bbox_head.test_cfg.update(nms=SOFT_NMS, distance_threshold=100.0)  # tags are untrained
    return model.eval()


def require_mirrored(found, mirrored, at_least=10):
    """Boxes of images and of their mirror images; rounding differs, so near ties may swap places."""
    for one, other in zip(found, mirrored, strict=True):
        boxes, back = one.pred_instances, other.pred_instances
        x1, y1, x2, y2 = back.bboxes.unbind(1)
        restored = torch.stack((SIZE - x2, y1, SIZE - x1, y2), 1)
        assert len(boxes) == len(back) > at_least
        torch.testing.assert_close(boxes.scores, back.scores, rtol=1e-4, atol=1e-5)
        nearest = (boxes.bboxes[:, None] - restored).abs().amax(-1) + (boxes.labels[:, None] != back.labels) * 1e6
        assert nearest.min(1).values.max() < 1e-2


@pytest.mark.parametrize(('wrapper', 'build'), [(FlipAverage, detector), (FlipJoin, corner_detector)])
def test_mirrored_images_have_mirrored_boxes(wrapper, build):
    model = wrapper(build())
    images = (torch.rand(2, 3, SIZE, SIZE) * 255).to(torch.uint8)
    found = model.test_step(batch(images))
    require_mirrored(found, model.test_step(batch(images.flip(-1))))
    plain = build().test_step(batch(images))
    assert plain[0].pred_instances.scores[0] != found[0].pred_instances.scores[0]  # the mirror image changed the scores


def test_offsets_of_the_plain_image_are_kept_on_request():
    """CenterNet's repository averages heat maps and sizes, not offsets."""
    head = detector().bbox_head
    maps, mirrored = ([[torch.rand(1, channels, 8, 8)] for channels in (CLASSES, 2, 2)] for _ in range(2))
    averaged, kept = (head.average_flipped(maps, mirrored, average) for average in (True, False))
    assert torch.equal(head.average_flipped(maps, mirrored)[2][0], averaged[2][0])
    assert torch.equal(kept[2][0], maps[2][0]) and not torch.equal(averaged[2][0], maps[2][0])
    assert all(torch.equal(kept[i][0], averaged[i][0]) for i in (0, 1))
    images = (torch.rand(1, 3, SIZE, SIZE) * 255).to(torch.uint8)
    boxes = [FlipAverage(detector(), average_offsets=average).test_step(batch(images)) for average in (True, False)]
    ours, theirs = (found[0].pred_instances for found in boxes)
    torch.testing.assert_close(ours.scores, theirs.scores)
    assert (ours.bboxes - theirs.bboxes).abs().max() > 0.1


def one_object(box_cells, logits, tags=(0.0, 0.0), cells=32):
    """Corner maps of one object; offsets are half a cell, and its tags are far from those of the other cells."""
    maps = [torch.full((1, CLASSES, cells, cells), -12.0) for _ in range(2)]
    maps += [torch.full((1, 1, cells, cells), tag) for tag in (-9.0, 9.0)]
    x1, y1, x2, y2 = box_cells
    for heat, tag_map, (x, y), tag in zip(maps[:2], maps[2:], ((x1, y1), (x2, y2)), tags, strict=True):
        heat[0, 1, y, x], tag_map[0, 0, y, x] = logits, tag
    return [[level] for level in (*maps, *[torch.full((1, 2, cells, cells), 0.5) for _ in range(2)])]


def test_detections_of_both_passes_are_joined_before_soft_nms_by_hand():
    """Box (18, 22, 82, 98), in 128 px mirrored (46, 22, 110, 98). Equal boxes: the second score loses exp(-1 / 0.5)."""
    head = CornerNetHead(CLASSES, 4, 1, test_cfg=dict(nms=SOFT_NMS))
    plain, mirrored = one_object((4, 5, 20, 24), 2.0), one_object((11, 5, 27, 24), 1.0)
    (found,) = head.predict_joined(plain, mirrored, metas(1, 128))
    assert found.bboxes.tolist() == [[18.0, 22.0, 82.0, 98.0]] * 2
    first, second = torch.tensor([2.0, 1.0]).sigmoid()
    torch.testing.assert_close(found.scores, torch.stack((first, second * torch.exp(torch.tensor(-2.0)))))
    assert found.labels.tolist() == [1, 1]


def test_corners_in_the_padding_of_the_mirrored_input_do_not_count():
    """An image of 100 x 128 in 128 x 128: in the mirror image the 28 pixels of padding are on the left."""
    head = CornerNetHead(CLASSES, 4, 1, test_cfg=dict(nms=SOFT_NMS))
    meta = metas(1, 128)[0] | dict(img_shape=(128, 100), ori_shape=(128, 100))
    nothing = one_object((0, 0, 1, 1), -12.0)
    for left, count in ((3, 0), (6, 0), (7, 1)):
        assert len(head.predict_joined(nothing, one_object((left, 5, 27, 24), 2.0), [meta])[0]) == count


@pytest.mark.parametrize('frame', [None, (10, 107, 13, 110)])
def test_joined_detections_equal_the_authors_flip_test(frame):
    """With an odd padding: it is the padded input that is mirrored."""
    head = CornerNetHead(CLASSES, 4, 1, test_cfg=dict(nms=SOFT_NMS, distance_threshold=0.3, max_per_img=60))
    maps, mirrored = ([[torch.randn(1, channels, 32, 32)] for channels in (3, 3, 1, 1, 2, 2)] for _ in range(2))
    (meta,) = metas(1, 128) if frame is None else metas(1, 128, border=frame)
    back = dict(meta) if frame is None else dict(meta, border=(*frame[:2], 128 - frame[3], 128 - frame[2]))
    rows = []
    for levels, seen in ((maps, meta), (mirrored, back)):
        found = head.decode(*levels, batch_img_metas=[seen])
        table = torch.cat((found.boxes[0], found.scores[0][:, None], found.labels[0][:, None]), 1)
        rows.append(table[found.valid[0]].tolist())
    assert min(map(len, rows)) > 100
    expected = join(*rows, 128, CLASSES, 60)
    (found,) = head.predict_joined(maps, mirrored, [meta])
    assert found.scores.tolist() == pytest.approx([score for score, *_ in expected], rel=1e-5)
    left, top = (0, 0) if frame is None else (frame[2], frame[0])
    boxes = torch.tensor([box for _, box, _ in expected]) - torch.tensor([left, top, left, top])
    torch.testing.assert_close(found.bboxes, boxes, rtol=1e-5, atol=1e-4)
    assert found.labels.tolist() == [label for *_, label in expected]


def test_joining_needs_an_nms():
    head = CornerNetHead(CLASSES, 4, 1)
    maps = one_object((4, 5, 20, 24), 2.0)
    with pytest.raises(ValueError, match=r"predict_joined needs test_cfg\['nms'\]"):
        head.predict_joined(maps, maps, metas(1, 128))


def test_builds_from_a_config():
    from mmdet.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(type='mmdet_kpheads.FlipAverage', module=detector()))
    assert isinstance(model, FlipAverage)


@pytest.mark.parametrize(('wrapper', 'method'), [(FlipAverage, 'average_flipped'), (FlipJoin, 'predict_joined')])
def test_head_that_cannot_merge_is_refused(wrapper, method):
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = detector()
        model.bbox_head = torch.nn.Identity()
        with pytest.raises(TypeError, match=f'{wrapper.__name__} needs a head with {method}, which Identity does not'):
            wrapper(model)


def test_mmdets_flip_tta_accepts_plain_metas():
    """DetTTAModel merges the boxes of an image and its mirror; the metas are those of a plain pipeline."""
    from mmdet.models.test_time_augs import DetTTAModel

    options = ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
    model = DetTTAModel(tta_cfg=options, module=detector())
    image = (torch.rand(3, SIZE, SIZE) * 255).to(torch.uint8)
    plain, flipped = batch([image]), batch([image.flip(-1)])
    plain['data_samples'][0].set_metainfo(dict(flip=False, flip_direction=None))
    flipped['data_samples'][0].set_metainfo(dict(flip=True, flip_direction='horizontal'))
    both = dict(
        inputs=[plain['inputs'], flipped['inputs']], data_samples=[plain['data_samples'], flipped['data_samples']]
    )
    found = model.test_step(both)[0].pred_instances
    assert len(found) > 5
    assert found.bboxes.min() >= 0
    assert found.bboxes.max() <= SIZE
