import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmdet_kpheads.detectors import FlipAverage
from tests.scenes import well_formed
from tests.training import samples_of, small_detector

SIZE, CLASSES = 64, 3


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


def test_mirrored_images_have_mirrored_boxes():
    model = FlipAverage(detector())
    images = (torch.rand(2, 3, SIZE, SIZE) * 255).to(torch.uint8)
    found = model.test_step(batch(images))
    mirrored = model.test_step(batch(images.flip(-1)))
    for one, other in zip(found, mirrored, strict=True):
        boxes, back = one.pred_instances, other.pred_instances
        mirrored_x = SIZE - back.bboxes[:, [2, 0]]
        restored = torch.stack((mirrored_x[:, 0], back.bboxes[:, 1], mirrored_x[:, 1], back.bboxes[:, 3]), 1)
        # rounding differs between an image and its mirror, so near ties may swap places
        assert len(boxes) == len(back) > 10
        torch.testing.assert_close(boxes.scores, back.scores)
        nearest = (boxes.bboxes[:, None] - restored).abs().amax(-1) + (boxes.labels[:, None] != back.labels) * 1e6
        assert nearest.min(1).values.max() < 1e-2
    plain = detector().test_step(batch(images))
    assert plain[0].pred_instances.scores[0] != found[0].pred_instances.scores[0]  # averaging changed the scores


def test_builds_from_a_config():
    from mmdet.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(type='mmdet_kpheads.FlipAverage', module=detector()))
    assert isinstance(model, FlipAverage)


def test_head_without_maps_is_refused():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = detector()
        model.bbox_head = torch.nn.Identity()
        with pytest.raises(
            TypeError, match='FlipAverage needs a head with average_flipped, which Identity does not have'
        ):
            FlipAverage(model)


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
