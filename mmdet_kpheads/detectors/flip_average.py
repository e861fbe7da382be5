"""Flip TTA of the heat-map detectors."""

from typing import Any

import torch
from mmengine.model import BaseTTAModel

from ..registry import MODELS


@MODELS.register_module()
class FlipAverage(BaseTTAModel):
    """Averages the head's maps over each image and its mirror image before decoding.

    Set it as ``tta_model`` with a plain test pipeline as ``tta_pipeline``; the flip is applied here, to the network
    input.

    Source: Objects as Points, arXiv 1904.07850, section 5 (flip augmentation).

    Differs from the paper: offsets are averaged too, so that a mirrored image has mirrored detections.

    Args:
        module: A single-stage detector (or its config) whose head has ``average_flipped``.
        data_preprocessor: Overrides the preprocessor of a detector given as config.

    Raises:
        TypeError: If the head has no ``average_flipped``.
    """

    def __init__(self, module: Any, data_preprocessor: Any = None) -> None:
        super().__init__(module, data_preprocessor)
        if not hasattr(self.module.bbox_head, 'average_flipped'):
            raise TypeError(
                f'FlipAverage needs a head with average_flipped, which {type(self.module.bbox_head).__name__} does not '
                'have; use DetTTAModel with a TestTimeAug pipeline instead'
            )

    @torch.no_grad()
    def test_step(self, data: Any) -> list:
        """Predict one batch; returns the same data samples as the detector's ``test_step``."""
        model = self.module
        batch = model.data_preprocessor(data, False)
        inputs, samples = batch['inputs'], batch['data_samples']
        head = model.bbox_head
        maps = head(model.extract_feat(inputs))
        mirrored = head(model.extract_feat(inputs.flip(-1)))
        metas = [sample.metainfo for sample in samples]
        results = head.predict_by_feat(*head.average_flipped(maps, mirrored), batch_img_metas=metas, rescale=True)
        merged: list = model.add_pred_to_datasample(samples, results)
        return merged

    def merge_preds(self, data_samples_list: list) -> list:
        """Required by BaseTTAModel but never called, because maps are merged instead of detections."""
        raise NotImplementedError('FlipAverage merges maps in test_step')
