"""An exported file as a model that mmengine tests."""

from typing import Any

import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from ..deploy import OnnxDetector
from ..registry import MODELS


@MODELS.register_module()
class OnnxModel(BaseModel):
    """Gives each image of a test set to the runtime of an exported file, which prepares it as the file says.

    What the test pipeline makes of the image is ignored.

    Args:
        path: Of the file.

    Raises:
        ValueError: If the file cannot be run.
    """

    def __init__(self, path: str) -> None:
        super().__init__(DetDataPreprocessor())  # ground truth as tensors, as metrics and visualizations take it
        self.detector = OnnxDetector(path)

    def forward(self, inputs: Any, data_samples: list[DetDataSample], mode: str) -> list[DetDataSample]:
        """Set ``pred_instances`` of each data sample, with boxes (N, 4) in pixels of its image.

        Args:
            inputs: Ignored.
            data_samples: With ``img_path``.
            mode: ``'predict'``, as mmengine calls it.

        Raises:
            ValueError: If an image cannot be read.
        """
        for sample in data_samples:
            found = self.detector(sample.img_path)
            boxes, scores, labels = (torch.from_numpy(part) for part in found[:3])
            sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return data_samples
