"""mmdet's CocoMetric for boxes, without a loop over images."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric as MMDetMetric
from mmengine.logging import MMLogger

from ..errors import InputError
from ..registry import METRICS
from .box_matching import Found, Objects, precision_and_recall

POSITIONS = {'mAP': 0, 'mAP_50': 1, 'mAP_75': 2, 'mAP_s': 3, 'mAP_m': 4, 'mAP_l': 5}
POSITIONS |= {'AR@100': 6, 'AR@300': 7, 'AR@1000': 8, 'AR_s@1000': 9, 'AR_m@1000': 10, 'AR_l@1000': 11}
DEFAULT_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


@METRICS.register_module()
class CocoMetric(MMDetMetric):
    """mmdet's CocoMetric with the same numbers, faster for boxes.

    Detections stay arrays: there is no JSON file and no dictionary per box. With masks, proposals, ``classwise``,
    ``format_only`` or ``outfile_prefix`` it is mmdet's.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics of all images.

        Raises:
            InputError: If a detection is in an image that the annotations lack.
        """
        if self.metrics != ['bbox'] or self.classwise or self.format_only or self.outfile_prefix:
            return super().compute_metrics(results)
        logger = MMLogger.get_current_instance()
        if not any(len(found['labels']) for _, found in results):
            logger.error('The testing results of the whole dataset is empty.')
            return {}
        detections, objects, params = self.sides(results)
        evaluation = COCOeval(self._coco_api, None, 'bbox')  # for its summary
        evaluation.params = params
        evaluation.eval = precision_and_recall(detections, objects, len(params.imgIds), params)
        evaluation.summarize()
        stats = evaluation.stats
        logger.info(f'bbox_mAP_copypaste: {" ".join(f"{value:.3f}" for value in stats[:6])}')
        return {f'bbox_{item}': round(float(stats[POSITIONS[item]]), 3) for item in self.metric_items or DEFAULT_ITEMS}

    def sides(self, results: list) -> tuple[Found, Objects, Any]:
        """Detections and objects as the matching takes them, and the parameters of pycocotools.

        Args:
            results: What ``process`` collected.

        Raises:
            InputError: If a detection is in an image that the annotations lack.
        """
        truths, found = zip(*results, strict=True)
        self._require_truth(truths)
        params = COCOeval(self._coco_api, None, 'bbox').params
        params.catIds, params.imgIds = np.unique(self.cat_ids), np.unique(self.img_ids)
        params.maxDets, params.iouThrs = sorted(self.proposal_nums), self.iou_thrs
        return self._detections(found, params), self._objects(params), params

    def _require_truth(self, truths: Sequence[dict]) -> None:
        """Read the ground truth that came with the images, where there is no annotation file."""
        if self._coco_api is None:
            with tempfile.TemporaryDirectory() as folder:
                self._coco_api: COCO = COCO(self.gt_to_coco_json(truths, str(Path(folder, 'truth'))))
        self.cat_ids: list[int] = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
        self.img_ids: list[Any] = self._coco_api.get_img_ids()

    def _detections(self, images: Sequence[dict], params: Any) -> Found:
        label = np.concatenate([image['labels'] for image in images])
        boxes = np.concatenate([image['bboxes'] for image in images]).astype(float)
        score = np.concatenate([image['scores'] for image in images]).astype(float)
        ids = np.array([image['img_id'] for image in images])
        if unknown := set(ids.tolist()) - set(params.imgIds.tolist()):
            raise InputError(f'detections in image {min(unknown)}, which the annotations lack: check ann_file')
        category = np.searchsorted(params.catIds, np.array(self.cat_ids)[label])
        image = np.repeat(np.searchsorted(params.imgIds, ids), [len(image['labels']) for image in images])
        cell = category * len(params.imgIds) + image
        order = np.lexsort((-score, cell))
        xywh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
        return Found(cell[order], xywh[order], score[order])

    def _objects(self, params: Any) -> Objects:
        categories, images = set(params.catIds.tolist()), set(params.imgIds.tolist())
        used = [
            item
            for item in self._coco_api.anns.values()
            if item['category_id'] in categories and item['image_id'] in images
        ]

        def column(name: str) -> np.ndarray:
            return np.array([item[name] for item in used])

        cell = np.searchsorted(params.catIds, column('category_id')) * len(images)
        cell = cell + np.searchsorted(params.imgIds, column('image_id'))
        boxes = column('bbox').astype(float).reshape(-1, 4)
        order = np.argsort(cell, kind='stable')
        columns = (cell, boxes, column('area'), column('iscrowd').astype(bool), column('id') != 0)
        return Objects(*(values[order] for values in columns))
