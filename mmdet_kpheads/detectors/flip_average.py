"""Flip test of the heat-map detectors."""

from typing import Any

import torch
from mmengine.model import BaseTTAModel

from ..registry import MODELS


@MODELS.register_module()
class FlipAverage(BaseTTAModel):
    """Runs each image and its mirror image and averages the head's maps before decoding.

    Source: Objects as Points, arXiv 1904.07850, section 5 (flip augmentation). Used as ``tta_model`` with a plain test
    pipeline as ``tta_pipeline``: the flip happens here, on the network input.

    Differs from the paper in that offsets are averaged too, so that the result of a mirrored image is the mirrored
    result.

    Args:
        module: A single-stage detector (or its config) whose head has ``average_flipped``.

    Raises:
        TypeError: If the head cannot average maps.
    """

    def __init__(self, module: Any, data_preprocessor: Any = None) -> None:
        super().__init__(module, data_preprocessor)
        if not hasattr(self.module.bbox_head, 'average_flipped'):
            raise TypeError(
                f'FlipAverage needs a head that averages its maps, but {type(self.module.bbox_head).__name__} does '
                'not; use DetTTAModel with a TestTimeAug pipeline instead'
            )

    @torch.no_grad()
    def test_step(self, data: Any) -> list:
        """Detections of one batch, as the detector's own ``test_step`` gives them."""
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
        """Not used: maps are merged, not detections."""
        raise NotImplementedError('FlipAverage merges maps in test_step')
