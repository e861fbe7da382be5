"""What the detections of an image hold on to."""

import pytest
import torch

from mmdet_kpheads.heads.postprocess import to_instances
from mmdet_kpheads.structures import Detections
from tests.scenes import metas

SIZE = 64


@pytest.mark.parametrize('nms', [None, dict(type='soft_nms', iou_threshold=0.5)])
def test_detections_keep_no_memory_of_candidates(nms):
    """An evaluation keeps the detections of all images: of 1000 candidates it must not keep those that are left out."""
    corners = torch.rand(2, 1000, 2) * SIZE
    boxes = torch.cat((corners, corners + 8), -1)
    scores = torch.rand(2, 1000).sort(1, descending=True).values
    found = Detections(boxes, scores, torch.zeros(2, 1000, dtype=torch.long), torch.ones(2, 1000, dtype=torch.bool))
    instances = to_instances(found, metas(2, SIZE), False, nms, 10)
    assert [len(image) for image in instances] == [10, 10]
    for image in instances:
        for part in (image.bboxes, image.scores, image.labels):
            assert part.untyped_storage().nbytes() == 2 * part.nbytes  # those of both images
