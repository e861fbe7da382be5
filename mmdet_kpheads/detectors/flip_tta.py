"""Flip TTA of the heat-map detectors, applied to the network input."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from ..registry import MODELS


class FlipTTA(BaseTTAModel):
    """Base of both: runs the detector on a batch and on its mirror image, padding included.

    Set it as ``tta_model`` with a plain test pipeline as ``tta_pipeline``.

    Args:
        module: A single-stage detector (or its config) whose head has the method that merges.
        data_preprocessor: Overrides the preprocessor of a detector given as config.

    Raises:
        TypeError: If the head has no such method.
    """

    merging_method: ClassVar[str]  # of the head

    def __init__(self, module: Any, data_preprocessor: Any = None) -> None:
        super().__init__(module, data_preprocessor)
        if not hasattr(self.module.bbox_head, self.merging_method):
            raise TypeError(
                f'{type(self).__name__} needs a head with {self.merging_method}, which '
                f'{type(self.module.bbox_head).__name__} does not have; use DetTTAModel with a TestTimeAug pipeline '
                'instead'
            )

    @torch.no_grad()
    def test_step(self, data: Any) -> list:
        """Predict one batch; returns the same data samples as the detector's ``test_step``."""
        model = self.module
        batch = model.data_preprocessor(data, False)
        inputs, samples = batch['inputs'], batch['data_samples']
        maps, mirrored = (model.bbox_head(model.extract_feat(view)) for view in (inputs, inputs.flip(-1)))
        results = self.merge(maps, mirrored, [sample.metainfo for sample in samples])
        merged: list = model.add_pred_to_datasample(samples, results)
        return merged

    def merge(self, maps: Any, mirrored: Any, metas: Sequence[Mapping[str, Any]]) -> list[InstanceData]:
        """Detections of each image, from what the head returned for a batch and for its mirror image."""
        raise NotImplementedError

    def merge_preds(self, data_samples_list: list) -> list:
        """Required by BaseTTAModel but never called, because the flip is applied to the network input."""
        raise NotImplementedError(f'{type(self).__name__} merges in test_step')


@MODELS.register_module()
class FlipAverage(FlipTTA):
    """Averages the head's maps over each image and its mirror image before decoding.

    Source: Objects as Points, arXiv 1904.07850, section 5 (flip augmentation).

    Differs from the paper: offsets are averaged too, so that a mirrored image has mirrored detections;
    ``average_offsets=False`` keeps those of the plain image, as CenterNet's repository does.

    Args:
        module: A single-stage detector (or its config) whose head has ``average_flipped``.
        data_preprocessor: Overrides the preprocessor of a detector given as config.
        average_offsets: Average the offsets too.

    Raises:
        TypeError: If the head has no ``average_flipped``.
    """

    merging_method = 'average_flipped'

    def __init__(self, module: Any, data_preprocessor: Any = None, average_offsets: bool = True) -> None:
        super().__init__(module, data_preprocessor)
        self.average_offsets = average_offsets

    def merge(self, maps: Any, mirrored: Any, metas: Sequence[Mapping[str, Any]]) -> list[InstanceData]:
        """Detections from averaged maps."""
        head = self.module.bbox_head
        averaged = head.average_flipped(maps, mirrored, self.average_offsets)
        found: list[InstanceData] = head.predict_by_feat(*averaged, batch_img_metas=metas, rescale=True)
        return found


@MODELS.register_module()
class FlipJoin(FlipTTA):
    """Joins the detections of each image and its mirror image before one NMS.

    Source: CornerNet, arXiv 1808.01244, section 4.2, and its repository.

    Args:
        module: A single-stage detector (or its config) whose head has ``predict_joined``.
        data_preprocessor: Overrides the preprocessor of a detector given as config.

    Raises:
        TypeError: If the head has no ``predict_joined``.
    """

    merging_method = 'predict_joined'

    def merge(self, maps: Any, mirrored: Any, metas: Sequence[Mapping[str, Any]]) -> list[InstanceData]:
        """Detections of both passes after one NMS."""
        found: list[InstanceData] = self.module.bbox_head.predict_joined(maps, mirrored, metas, rescale=True)
        return found
