"""One batch of ground truth as tensors, checked and cleaned, without a device synchronization.

Shape legend: B images, N boxes of the fullest image and 3 spare rows, M ignore boxes likewise.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .functional.blocks import reads_are_free
from .functional.boxes import clip_boxes, has_area

IGNORE_LABEL = -1
SPARE_ROWS = 3  # so that no tensor, and no difference of rows, has 0 or 1 rows: special cases for torch.compile


class GroundTruth(NamedTuple):
    """Boxes of a batch, padded; absolute pixels xyxy of the network input.

    The boxes of an image stand in canonical order (smaller area first, then x1, y1, x2, label, invalid ones last), so
    that a rule "the first wins" means "the smaller one wins" and nothing depends on the order in the annotations.
    """

    boxes: Tensor  # (B, N, 4) float32, clipped to the image; zeros where invalid
    labels: Tensor  # (B, N) int64; 0 where invalid
    valid: Tensor  # (B, N) bool
    ignore_boxes: Tensor  # (B, M, 4) float32
    ignore_valid: Tensor  # (B, M) bool
    num_dropped_boxes: Tensor  # scalar float32: not finite, or without area inside the image
    num_bad_labels: Tensor  # scalar float32: label outside [0, C); 0 on a CPU, where it is an error

    @classmethod
    @torch.compiler.disable  # which image is the fullest would else be a guard: a new graph for each of them
    def from_instances(
        cls,
        instances: Sequence[Any],
        img_metas: Sequence[dict],
        num_classes: int,
        owner: str,
        ignored: Sequence[Any] | None = None,
    ) -> 'GroundTruth':
        """Collect a batch from mmdet's ``InstanceData``.

        Args:
            instances: ``bboxes`` (n, 4) and ``labels`` (n,) of each image; ``bboxes`` may be a box type of mmdet.
                A label of -1 makes an object an ignore box.
            img_metas: ``img_shape`` (or ``batch_input_shape``) of each image: boxes are clipped to it.
            num_classes: C.
            owner: Name of the head, for error messages.
            ignored: ``bboxes`` of the ignore boxes of each image; None, or None for an image, for none.

        Raises:
            ValueError: On a CPU, for a label outside [0, C). On another device such objects are dropped and counted in
                ``num_bad_labels``, since to raise would stop the device.
        """
        boxes = [_plain(image.bboxes) for image in instances]
        labels = [image.labels for image in instances]
        none = boxes[0].new_zeros(0, 4)
        ignore_boxes = [none if image is None else _plain(image.bboxes) for image in ignored or [None] * len(boxes)]
        sizes = [image_size(meta) for meta in img_metas]
        return cls.from_tensors(boxes, labels, sizes, num_classes, owner, ignore_boxes)

    @classmethod
    def from_tensors(
        cls,
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        num_classes: int,
        owner: str,
        ignore_boxes: Sequence[Tensor] | None = None,
    ) -> 'GroundTruth':
        """As :meth:`from_instances`, from a list of (n, 4) boxes, (n,) labels and (height, width) of the images."""
        device = boxes[0].device
        padded, present = _pad(boxes)
        extent = torch.tensor([(0, 0, width, height) for height, width in image_sizes], dtype=torch.float32)
        extent = extent.to(device, non_blocking=True)  # (B, 4)
        clipped = clip_boxes(padded, extent)
        label = _pad_rows(labels)
        ignore = present & (label == IGNORE_LABEL)
        bad_label = present & ~ignore & ((label < 0) | (label >= num_classes))
        if reads_are_free(device):
            check_labels(label, bad_label, num_classes, owner)
        usable = has_area(clipped) & padded.isfinite().all(-1)
        valid = present & ~ignore & ~bad_label & usable
        ignores, ignores_valid = _pad(ignore_boxes) if ignore_boxes is not None else (padded[:, :0], present[:, :0])
        kept = _canonical(torch.where(valid[..., None], clipped, 0), torch.where(valid, label, 0), valid)
        return cls(
            *kept,
            ignore_boxes=torch.cat((ignores, padded), 1),
            ignore_valid=torch.cat((ignores_valid, ignore), 1),
            num_dropped_boxes=(present & ~ignore & ~usable).sum(dtype=torch.float32),
            num_bad_labels=bad_label.sum(dtype=torch.float32),
        )


def image_size(meta: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of an image inside the network input, in pixels: its ``img_shape``, else the whole input."""
    height, width = meta['img_shape' if 'img_shape' in meta else 'batch_input_shape'][:2]
    return height, width


def check_labels(labels: Tensor, bad: Tensor, num_classes: int, owner: str) -> None:
    """Raise ``ValueError`` for the first label that is marked bad (CPU tensors only)."""
    if bad.any():
        image, label = int(bad.nonzero()[0, 0]), int(labels[bad][0])
        rule = f'>= num_classes {num_classes}' if label >= 0 else '< 0'
        raise ValueError(
            f'label {label} {rule} in {owner} (image {image} of the batch): labels run from 0 to num_classes - 1, '
            f'and {IGNORE_LABEL} marks an ignore box. Compare num_classes of the head with the classes of the data set.'
        )


def _plain(boxes: Any) -> Tensor:
    """The tensor of a box type of mmdet, or the tensor itself."""
    tensor: Tensor = getattr(boxes, 'tensor', boxes)
    return tensor.detach().float().reshape(-1, 4)


def _pad(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(B, N, 4) boxes and (B, N) presence. The lengths are known on the host: no synchronization."""
    padded = _pad_rows([box.float() for box in boxes])
    lengths = torch.tensor([len(box) for box in boxes]).to(padded.device, non_blocking=True)
    present = torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]
    return padded, present


def _pad_rows(rows: Sequence[Tensor]) -> Tensor:
    """(n, ...) tensors as one (B, N, ...), with ``SPARE_ROWS`` rows of zeros after the longest."""
    padded = pad_sequence(list(rows), batch_first=True)
    return torch.cat((padded, padded.new_zeros(len(padded), SPARE_ROWS, *padded.shape[2:])), 1)


def _canonical(boxes: Tensor, labels: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort the boxes of each image by area, x1, y1, x2 and label; invalid ones last."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
    area = torch.where(valid, width * height, torch.inf)
    order = torch.arange(boxes.shape[1], device=boxes.device).expand(boxes.shape[:2])
    for key in (labels, boxes[..., 2], boxes[..., 1], boxes[..., 0], area):  # the last sort decides first
        order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), labels.gather(1, order), valid.gather(1, order)
