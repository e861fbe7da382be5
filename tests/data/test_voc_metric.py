"""The evaluators of our VOC configs on hand-made boxes whose average precision is computed by hand."""

import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmdet_kpheads import compat
from mmdet_kpheads.compat.config_bases import configs_root

CLASSES = ('cell', 'plate')
PX = 100
# Three cells in two images. Detections: correct (0.9), wrong (0.8), correct (0.7); one cell is missed.
# Precision is 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
GROUND_TRUTH = [[[10, 10, 30, 30], [50, 50, 90, 90]], [[20, 20, 60, 60]]]
DETECTIONS = [
    ([[10, 10, 30, 30], [60, 0, 80, 20]], [0.9, 0.8]),
    ([[20, 20, 60, 60]], [0.7]),
]
AREA = 1 / 3 * 1 + 1 / 3 * 2 / 3  # VOC 2012
ELEVEN_POINTS = (4 * 1 + 3 * 2 / 3) / 11  # VOC 2007: recall 0 to 0.3, then 0.4 to 0.6
COCO_50 = (34 * 1 + 33 * 2 / 3) / 101  # recall 0 to 0.33, then 0.34 to 0.66


def sample(number, difficult=()):
    boxes, scores = DETECTIONS[number]
    gt_boxes = GROUND_TRUTH[number]
    instances = [dict(bbox=box, bbox_label=0, ignore_flag=int(i in difficult)) for i, box in enumerate(gt_boxes)]
    meta = dict(img_id=number, ori_shape=(PX, PX), img_shape=(PX, PX), instances=instances)
    result = DetDataSample(metainfo=meta)
    all_boxes, labels = torch.tensor(gt_boxes, dtype=torch.float32), torch.zeros(len(gt_boxes), dtype=torch.long)
    ignored = torch.tensor([i in difficult for i in range(len(gt_boxes))])
    result.gt_instances = InstanceData(bboxes=all_boxes[~ignored], labels=labels[~ignored])
    result.ignored_instances = InstanceData(bboxes=all_boxes[ignored], labels=labels[ignored])
    result.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.tensor(scores),
        labels=torch.zeros(len(scores), dtype=torch.long),
    )
    return result.to_dict()


def evaluate(cfg, difficult=()):
    metric = METRICS.build(cfg)
    metric.dataset_meta = dict(classes=CLASSES)
    samples = [sample(0, difficult), sample(1)]
    metric.process({}, samples)
    return metric.evaluate(size=len(samples))


@pytest.fixture(params=['untrained/centernet_r18_8xb16-140e_voc0712.py', 'centernet_r18_custom-voc.py'])
def evaluators(request):
    compat.install()  # finds the bases of the template
    init_default_scope('mmdet')
    return Config.fromfile(configs_root() / 'centernet' / request.param).val_evaluator


@pytest.mark.parametrize(('rule', 'expected'), [('11points', ELEVEN_POINTS), ('area', AREA)])
def test_voc_2007_and_2012_metrics(evaluators, rule, expected):
    voc = next(cfg for cfg in evaluators if cfg.type == 'VOCMetric')
    found = evaluate({**voc, 'eval_mode': rule})
    assert found['pascal_voc/AP50'] == pytest.approx(expected, abs=1e-3)  # rounded to three decimals
    assert found['pascal_voc/mAP'] == pytest.approx(expected, abs=1e-6)


def test_coco_metric_on_the_same_data(evaluators):
    coco = next(cfg for cfg in evaluators if cfg.type == 'CocoMetric')
    assert 'ann_file' not in coco  # the ground truth comes with the samples
    found = evaluate(coco)
    assert found['coco/bbox_mAP_50'] == pytest.approx(COCO_50, abs=1e-3)


def test_difficult_objects_are_ignored(evaluators):
    """Without the missed object, precision is 1, 1/2, 2/3 at recall 1/2, 1/2, 1."""
    voc = next(cfg for cfg in evaluators if cfg.type == 'VOCMetric')
    found = evaluate({**voc, 'eval_mode': 'area'}, difficult=(1,))
    assert found['pascal_voc/mAP'] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3, abs=1e-6)
