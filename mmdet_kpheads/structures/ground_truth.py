"""One batch of ground truth as tensors, checked and cleaned without a host-device sync.

Shape legend: B images, N boxes of the fullest image (at least ``MIN_ROWS``), M ignore boxes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..backends import as_one_graph, outside_graphs
from ..functional.boxes import clip_boxes, has_area, is_finite
from ..functional.precedence import smaller_first
from .geometry import Meta, image_size, to_device

MIN_ROWS = 3  # a maximum over boxes exists, and no size (N, N - 1) is 0 or 1, which torch.compile specializes on
IGNORE_LABEL = -1  # mmdet's label of COCO crowd and VOC difficult objects that a pipeline keeps


class GroundTruth(NamedTuple):
    """Boxes of a batch, padded to one size; xyxy in pixels of the network input.

    The boxes of each image are in canonical order: smaller area first, then x1, y1, x2 and label, invalid ones last.
    So "the first wins" means "the smaller one wins", and nothing depends on the order in the annotations.
    """

    boxes: Tensor  # (B, N, 4) float32, clipped to the image; zeros where invalid
    labels: Tensor  # (B, N) int64; 0 where invalid
    valid: Tensor  # (B, N) bool
    ignore_boxes: Tensor  # (B, M, 4) float32
    ignore_valid: Tensor  # (B, M) bool
    extent_px: Tensor  # (B, 4) float32 xyxy: the image inside the input
    num_dropped_boxes: Tensor  # scalar float32: not finite, or without area inside the image
    num_bad_labels: Tensor  # scalar float32: label outside [0, C); 0 on a CPU, where it is an error

    @classmethod
    @outside_graphs  # the length of the longest list would be a guard: one graph for each
    def from_instances(
        cls,
        instances: Sequence[Any],
        img_metas: Sequence[Meta],
        num_classes: int,
        owner: str,
        ignored: Sequence[Any] | None = None,
        backend: str = 'auto',
    ) -> 'GroundTruth':
        """Collect a batch from mmdet's ``InstanceData``.

        Args:
            instances: ``bboxes`` (n, 4) and ``labels`` (n,) of each image; ``bboxes`` may be a box type of mmdet.
                A label of -1 makes an object an ignore box.
            img_metas: ``img_shape`` (or ``batch_input_shape``) of each image: boxes are clipped to it.
            num_classes: C.
            owner: Name of the head, for error messages.
            ignored: ``bboxes`` of the ignore boxes of each image; None, or None for an image, for none.
            backend: One of ``mmdet_kpheads.backends.BACKENDS``.

        Raises:
            ValueError: As :meth:`from_tensors`.
        """
        boxes = [_plain(image.bboxes) for image in instances]
        labels = [image.labels for image in instances]
        none = boxes[0].new_zeros(0, 4)
        ignore_boxes = [none if image is None else _plain(image.bboxes) for image in ignored or [None] * len(boxes)]
        sizes = [image_size(meta) for meta in img_metas]
        return cls.from_tensors(boxes, labels, sizes, num_classes, owner, ignore_boxes, backend=backend)

    @classmethod
    def from_tensors(
        cls,
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        num_classes: int,
        owner: str,
        ignore_boxes: Sequence[Tensor] | None = None,
        check_labels: bool | None = None,
        backend: str = 'auto',
    ) -> 'GroundTruth':
        """As :meth:`from_instances`, from a list of (n, 4) boxes, (n,) labels and (height, width) of the images.

        Args:
            boxes: (n, 4) of each image in pixels.
            labels: (n,) of each image.
            image_sizes: (height, width) of each image in pixels.
            num_classes: C.
            owner: Name of the head, for error messages.
            ignore_boxes: (m, 4) of each image; None for none.
            check_labels: Whether a bad label is an error. None: only on a CPU; on other devices the check needs a sync.
            backend: One of ``mmdet_kpheads.backends.BACKENDS``.

        Raises:
            ValueError: For a label outside [0, C) if labels are checked. Otherwise such objects are dropped and counted
                in ``num_bad_labels``.
        """
        device = boxes[0].device
        numbers = [(len(box), 0, 0, width, height) for box, (height, width) in zip(boxes, image_sizes, strict=True)]
        host = to_device(torch.tensor(numbers, dtype=torch.float32), device)  # (B, 5): all that comes from the host
        extent = host[:, 1:]  # (B, 4)
        rows = Rows.of([len(box) for box in boxes], host[:, :1])
        padded, label, present = rows.pad(boxes).float(), rows.pad(labels).long(), rows.present
        ignores, ignores_valid = padded[:, :0], present[:, :0]
        if ignore_boxes is not None and any(len(box) for box in ignore_boxes):
            lengths = [len(box) for box in ignore_boxes]
            rows = Rows.of(lengths, to_device(torch.tensor(lengths, dtype=torch.float32), device)[:, None])
            ignores, ignores_valid = rows.pad(ignore_boxes), rows.present
        truth, bad_label = as_one_graph(_cleaned, padded, backend)(
            padded, label, present, extent, ignores, ignores_valid, num_classes
        )
        if check_labels or (check_labels is None and device.type == 'cpu'):
            _require_known_labels(label, bad_label, num_classes, owner)
        return cls(*truth)

    def counts(self) -> dict[str, Tensor]:
        """What was dropped, by the name that the log shows."""
        return {'num_dropped_boxes': self.num_dropped_boxes, 'num_bad_labels': self.num_bad_labels}


def _cleaned(
    boxes: Tensor,
    labels: Tensor,
    present: Tensor,
    extent_px: Tensor,
    ignores: Tensor,
    ignores_valid: Tensor,
    num_classes: int,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """The fields of :class:`GroundTruth` from padded boxes (B, N, 4), and which labels (B, N) are bad."""
    clipped = clip_boxes(boxes, extent_px)
    ignore = present & (labels == IGNORE_LABEL)
    bad_label = present & ~ignore & ((labels < 0) | (labels >= num_classes))
    usable = has_area(clipped) & is_finite(boxes)
    valid = present & ~ignore & ~bad_label & usable
    order = smaller_first(clipped, labels, valid)
    sorted_valid = valid.gather(1, order)
    sorted_boxes = clipped.gather(1, order[..., None].expand(-1, -1, 4))
    truth = (
        torch.where(sorted_valid[..., None], sorted_boxes, 0),
        torch.where(sorted_valid, labels.gather(1, order), 0),
        sorted_valid,
        torch.cat((ignores, boxes), 1),
        torch.cat((ignores_valid, ignore), 1),
        extent_px,
        (present & ~ignore & ~usable).sum(dtype=torch.float32),
        bad_label.sum(dtype=torch.float32),
    )
    return truth, bad_label


def _require_known_labels(labels: Tensor, bad: Tensor, num_classes: int, owner: str) -> None:
    """Raise ``ValueError`` for the first label that is marked bad."""
    if bad.any():
        image, label = int(bad.nonzero()[0, 0]), int(labels[bad][0])
        rule = f'>= num_classes {num_classes}' if label >= 0 else '< 0'
        raise ValueError(
            f'label {label} {rule} in {owner} (image {image} of the batch): labels run from 0 to num_classes - 1, '
            f'and {IGNORE_LABEL} marks an ignore box. Compare num_classes of the head with the classes of the dataset.'
        )


def _plain(boxes: Any) -> Tensor:
    """The tensor of a box type of mmdet, or the tensor itself."""
    tensor: Tensor = getattr(boxes, 'tensor', boxes)
    return tensor.detach().float().reshape(-1, 4)


class Rows(NamedTuple):
    """Where the rows of each image are in a table of all rows, one image after the other."""

    numbers: Tensor  # (B, N) int64; any row where there is none
    present: Tensor  # (B, N) bool

    @classmethod
    def of(cls, lengths: Sequence[int], on_device: Tensor) -> 'Rows':
        """From the number of rows of each image, on the host and, (B, 1) float32, on the device."""
        number = torch.arange(max(MIN_ROWS, *lengths), device=on_device.device)
        first = on_device.cumsum(0) - on_device
        numbers = (first + number).clamp(max=max(0, sum(lengths) - 1)).long()
        return cls(numbers, number < on_device)

    def pad(self, rows: Sequence[Tensor]) -> Tensor:
        """The rows (n, ...) of each image as one (B, N, ...), any values where there is no row."""
        flat = torch.cat(list(rows))
        return flat[self.numbers] if len(flat) else flat.new_zeros(*self.numbers.shape, *flat.shape[1:])
