"""mmdet's flip TTA, DetTTAModel, with our heads: a mirrored image has mirrored detections."""

import pytest
import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict

from tests.scenes import metas
from tests.training import GROUPS, small_detector

SIZE = 64
HEADS = dict(
    CenterNetHead={},
    CornerNetHead=dict(num_feat_levels=1, pool_channels=8),
    AutoAssignHead=dict(
        strides=(4,), stacked_convs=1, norm_cfg=GROUPS, loss_bbox=dict(type='GIoULoss'), distance_activation='exp'
    ),
)


def views_of(image):
    samples = []
    for flip in (False, True):
        meta = metas(1, SIZE)[0] | dict(flip=flip, flip_direction='horizontal' if flip else None)
        samples.append([DetDataSample(metainfo=meta)])
    return dict(inputs=[[image], [image.flip(-1)]], data_samples=samples)


@pytest.mark.parametrize('head', HEADS)
def test_mirrored_images_have_mirrored_boxes(head, mmdet_scope):
    model = small_detector(f'mmdet_kpheads.{head}', 3, **HEADS[head])
    model.bbox_head.test_cfg.update(score_thr=0.0, max_per_img=50)
    if head == 'CenterNetHead':
        torch.nn.init.constant_(model.bbox_head.wh_head[-1].bias, 5.0)  # the size branch is untrained
    if head == 'CornerNetHead':
        model.bbox_head.test_cfg.update(distance_threshold=100.0)  # tags are untrained
    tta = DetTTAModel(module=model, tta_cfg=ConfigDict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=30)).eval()
    image = torch.randn(3, SIZE, SIZE)
    with torch.no_grad():
        found, mirrored = (tta.test_step(views_of(view))[0].pred_instances for view in (image, image.flip(-1)))
    assert len(found) > 5
    boxes = mirrored.bboxes
    back = torch.stack((SIZE - boxes[:, 2], boxes[:, 1], SIZE - boxes[:, 0], boxes[:, 3]), 1)
    torch.testing.assert_close(found.scores, mirrored.scores, rtol=1e-4, atol=1e-5)
    best = found.scores > found.scores[0] * 0.999
    torch.testing.assert_close(found.bboxes[best], back[best], rtol=1e-4, atol=1e-2)
