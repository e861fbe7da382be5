"""CenterNet: Objects as Points, arXiv 1904.07850.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmengine.model import bias_init_with_prob, normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..decoding.center import decode_centers
from ..decoding.flip import average_flipped_heat, average_flipped_offset, average_flipped_size
from ..functional.gaussian import DEFAULT_MIN_OVERLAP, check_radius_options
from ..functional.peaks import gather_cells
from ..ground_truth import GroundTruth
from ..losses.build import build_loss
from ..losses.normalizer import normalizer
from ..registry import MODELS
from ..targets.center import center_targets, dense_center_targets
from ..targets.points import MapFrame, PointTargets
from .losses import averaged, heatmap_loss, read_trained, try_box_loss, try_heatmap_loss, try_regression_loss
from .options import (
    check_levels,
    image_frame,
    level_share,
    read_test_cfg,
    require_same_levels,
    require_same_shape,
    supervised_levels,
)
from .results import to_instances

HEAT_PRIOR = 0.1  # probability at the start (CornerNet section 4.1, kept by CenterNet)
REGRESSION_STD = 0.001  # CenterNet's initialization of size and offset weights
HEATMAP_LOSS = {'type': 'GaussianFocalLoss', 'loss_weight': 1.0}  # the three weights: CenterNet section 3
SIZE_LOSS = {'type': 'L1Loss', 'loss_weight': 0.1}
OFFSET_LOSS = {'type': 'L1Loss', 'loss_weight': 1.0}
SIZE_ENCODINGS = ('linear', 'log')
TEST_DEFAULTS = {'topk': 100, 'local_maximum_kernel': 3, 'max_per_img': 100, 'score_thr': 0.0, 'nms': None}
MAX_LOG_SIZE = 10.0  # exp(10) = 22026 cells: beyond any map, and finite

Maps = list[Tensor]
InputSize = tuple[int, int]
Predictions = tuple[Maps, Maps, Maps]


@MODELS.register_module()
class CenterNetHead(BaseDenseHead):
    """Objects as points: a heat map of centers, with size and offset read at the peaks.

    Arguments, parameter names and methods of mmdet's head, so that its checkpoints load.

    Differs from mmdet's head: ``forward`` gives heat-map logits instead of probabilities; no loop over boxes; boxes are
    clipped and checked; on a shared cell the smaller box wins; the normalizer is averaged over ranks.

    Args:
        in_channels: Channels of the feature map.
        feat_channels: Channels between the two convolutions of a branch.
        num_classes: C.
        loss_center_heatmap: Heat-map loss that takes logits.
        loss_wh: Loss of the size in cells (of its logarithm with ``size_encoding='log'``); None for none.
        loss_offset: Loss of the offset in cells.
        train_cfg: Taken for SingleStageDetector, not read.
        test_cfg: ``topk``, ``local_maximum_kernel``, ``max_per_img`` (all if not positive), ``score_thr``, ``nms``.
        init_cfg: mmengine's initialization config.
        loss_bbox: An IoU loss of mmdet on the decoded boxes, beside or in place of ``loss_wh``.
        size_encoding: ``'linear'``, or ``'log'``: the branch predicts log sizes, which are positive by construction.
        class_specific_wh: A size for each class: objects of two classes may share a center.
        radius: ``'exact'``, or ``'legacy'`` for the formula of CenterNet's repository.
        min_overlap: IoU kept inside the Gaussian radius; None for 0.3 (exact) or 0.7 (legacy).
        ignore_regions: Train nothing on cells that touch an ignore box (COCO crowd, VOC difficult).
        feat_level: Which of several feature levels to use; None takes a single one.
        num_feat_levels: Feature maps that are supervised (stacks of an Hourglass), each by branches of its own;
            prediction uses the last.
        stack_reduction: ``'mean'`` of the levels' losses, as the original trains, or ``'sum'``.

    Raises:
        ValueError: For an option out of range, named in the message.
        TypeError: For a loss that the head cannot call.
    """

    def __init__(
        self,
        in_channels: int,
        feat_channels: int,
        num_classes: int,
        loss_center_heatmap: dict = HEATMAP_LOSS,
        loss_wh: dict | None = SIZE_LOSS,
        loss_offset: dict = OFFSET_LOSS,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        loss_bbox: dict | None = None,
        size_encoding: str = 'linear',
        class_specific_wh: bool = False,
        radius: str = 'exact',
        min_overlap: float | None = None,
        ignore_regions: bool = False,
        feat_level: int | None = None,
        num_feat_levels: int = 1,
        stack_reduction: str = 'mean',
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_levels(num_feat_levels, feat_level, stack_reduction)
        if size_encoding not in SIZE_ENCODINGS:
            raise ValueError(f'size_encoding must be one of {SIZE_ENCODINGS}, but got {size_encoding!r}')
        self.num_classes = num_classes
        self.size_encoding = size_encoding
        self.class_specific_wh = class_specific_wh
        self.radius = radius
        self.min_overlap = DEFAULT_MIN_OVERLAP.get(radius, 0.0) if min_overlap is None else min_overlap
        check_radius_options(self.radius, self.min_overlap)
        self.ignore_regions = ignore_regions
        self.feat_level = feat_level
        self.num_feat_levels = num_feat_levels
        self.stack_reduction = stack_reduction
        self.train_cfg = train_cfg
        self.test_cfg = read_test_cfg(test_cfg, TEST_DEFAULTS, type(self).__name__)

        self.heatmap_head = self._build_head(in_channels, feat_channels, num_classes)
        self.wh_head = self._build_head(in_channels, feat_channels, 2 * (num_classes if class_specific_wh else 1))
        self.offset_head = self._build_head(in_channels, feat_channels, 2)
        self.loss_center_heatmap = build_loss(loss_center_heatmap, 'loss_center_heatmap', try_heatmap_loss)
        self.loss_wh = build_loss(loss_wh, 'loss_wh', try_regression_loss) if loss_wh else None
        self.loss_offset = build_loss(loss_offset, 'loss_offset', try_regression_loss)
        self.loss_bbox = build_loss(loss_bbox, 'loss_bbox', try_box_loss) if loss_bbox else None

    def _build_head(self, in_channels: int, feat_channels: int, out_channels: int) -> nn.Sequential | nn.ModuleList:
        """One branch, under mmdet's parameter names; with several levels a list of them."""
        branches = [
            nn.Sequential(
                nn.Conv2d(in_channels, feat_channels, kernel_size=3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(feat_channels, out_channels, kernel_size=1),
            )
            for _ in range(self.num_feat_levels)
        ]
        return branches[0] if self.num_feat_levels == 1 else nn.ModuleList(branches)

    def _branch(self, head: nn.Sequential | nn.ModuleList, level: int) -> nn.Module:
        return head[level] if isinstance(head, nn.ModuleList) else head

    def init_weights(self) -> None:
        """Heat bias for a prior of 0.1; small weights in the size and offset branches."""
        super().init_weights()
        for level in range(self.num_feat_levels):
            bias = self._branch(self.heatmap_head, level).get_parameter('2.bias')
            nn.init.constant_(bias, bias_init_with_prob(HEAT_PRIOR))
        for branch in (self.wh_head, self.offset_head):
            for module in branch.modules():
                if isinstance(module, nn.Conv2d):
                    normal_init(module, std=REGRESSION_STD)

    def forward(self, x: tuple[Tensor, ...]) -> Predictions:
        """Heat-map logits (B, C, H, W), sizes (B, 2, H, W) and offsets (B, 2, H, W), a list of levels each.

        Raises:
            ValueError: If ``x`` has not ``num_feat_levels`` levels and ``feat_level`` is not set.
        """
        features = supervised_levels(x, self.num_feat_levels, self.feat_level, type(self).__name__)
        levels = [self.forward_single(feature, level) for level, feature in enumerate(features)]
        heats, sizes, offsets = (list(maps) for maps in zip(*levels, strict=True))
        return heats, sizes, offsets

    def forward_single(self, x: Tensor, level: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of one feature level."""
        heat, size, offset = (
            self._branch(head, level)(x) for head in (self.heatmap_head, self.wh_head, self.offset_head)
        )
        return heat, size, offset

    def loss_by_feat(
        self,
        center_heatmap_preds: Maps,
        wh_preds: Maps,
        offset_preds: Maps,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned.

        Returns:
            ``loss_center_heatmap``, ``loss_wh``, ``loss_offset``, ``loss_bbox`` as configured (with several levels a
            list each), and counts for the log: ``num_dropped_boxes``, ``num_bad_labels``, ``num_shared_cells``.

        Raises:
            ValueError: If the levels differ in size, or the predictions in their number.
        """
        name = type(self).__name__
        require_same_levels(name, center_heatmap_preds, wh_preds, offset_preds)
        require_same_shape(name, center_heatmap_preds)
        truth = GroundTruth.from_instances(
            batch_gt_instances, batch_img_metas, self.num_classes, name, batch_gt_instances_ignore
        )
        return self.loss_by_truth(
            center_heatmap_preds, wh_preds, offset_preds, truth, tuple(batch_img_metas[0]['batch_input_shape'])
        )

    def loss_by_truth(
        self, center_heatmap_preds: Maps, wh_preds: Maps, offset_preds: Maps, truth: GroundTruth, input_size: InputSize
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned and ground truth as tensors: one graph for ``torch.compile``.

        Args:
            center_heatmap_preds: Logits by level.
            wh_preds: Sizes by level.
            offset_preds: Offsets by level.
            truth: Boxes of the batch.
            input_size: (height, width) of the network input in pixels.
        """
        targets = self._targets(truth, center_heatmap_preds[0].shape, input_size)
        objects = normalizer(targets.num_peaks)
        levels = zip(center_heatmap_preds, wh_preds, offset_preds, strict=True)
        with torch.autocast(center_heatmap_preds[0].device.type, enabled=False):
            by_level = [self._level_losses(*maps, truth, targets, objects) for maps in levels]
        return self._joined(by_level) | {
            'num_dropped_boxes': truth.num_dropped_boxes,
            'num_bad_labels': truth.num_bad_labels,
            'num_shared_cells': targets.num_shared_cells,
        }

    def _joined(self, by_level: list[dict[str, Tensor]]) -> dict[str, Any]:
        """Losses by name; of several levels a list, which mmengine adds up."""
        if len(by_level) == 1:
            return dict(by_level[0])
        share = level_share(len(by_level), self.stack_reduction)
        return {key: [level[key] * share for level in by_level] for key in by_level[0]}

    def _level_losses(
        self,
        heat: Tensor,
        size_map: Tensor,
        offset_map: Tensor,
        truth: GroundTruth,
        targets: PointTargets,
        objects: Tensor,
    ) -> dict[str, Tensor]:
        losses = {'loss_center_heatmap': heatmap_loss(self.loss_center_heatmap, heat, targets, objects)}
        return losses | self._regression_losses(size_map, offset_map, truth, targets, objects)

    def _targets(self, truth: GroundTruth, map_shape: torch.Size, input_size: tuple[int, int]) -> PointTargets:
        frame = MapFrame(map_shape, input_size, self.min_overlap, self.radius)
        return center_targets(truth, frame, self.ignore_regions, self.class_specific_wh)

    def _regression_losses(
        self, size_map: Tensor, offset_map: Tensor, truth: GroundTruth, targets: PointTargets, objects: Tensor
    ) -> dict[str, Tensor]:
        trained = targets.regress[..., None]  # (B, N, 1)
        size_target = self._encode(targets.sizes.clamp(min=torch.finfo(torch.float32).tiny))
        size = torch.where(trained, self._size_at(size_map, truth, targets), size_target)
        offset = read_trained(offset_map, targets.cells, targets.regress, targets.offsets)
        losses = {}
        if self.loss_wh is not None:
            losses['loss_wh'] = averaged(self.loss_wh, size, size_target, trained, objects * 2)
        losses['loss_offset'] = averaged(self.loss_offset, offset, targets.offsets, trained, objects * 2)
        if self.loss_bbox is not None:
            boxes = _boxes_around(offset, self._decode_size(size).clamp(min=0)).flatten(0, 1)  # (B * N, 4)
            truths = _boxes_around(targets.offsets, targets.sizes).flatten(0, 1)
            losses['loss_bbox'] = averaged(self.loss_bbox, boxes, truths, targets.regress.flatten(), objects)
        return losses

    def _size_at(self, size_map: Tensor, truth: GroundTruth, targets: PointTargets) -> Tensor:
        """Raw size predictions at the centers, (B, N, 2)."""
        size = gather_cells(size_map, targets.cells).float()
        if not self.class_specific_wh:
            return size
        pairs = size.unflatten(-1, (-1, 2))  # (B, N, C, 2)
        return pairs.gather(2, truth.labels[..., None, None].expand(-1, -1, 1, 2)).squeeze(2)

    def _encode(self, size_cells: Tensor) -> Tensor:
        return size_cells.log() if self.size_encoding == 'log' else size_cells

    def _decode_size(self, size: Tensor) -> Tensor:
        return size.clamp(max=MAX_LOG_SIZE).exp() if self.size_encoding == 'log' else size

    def get_targets(
        self,
        gt_bboxes: Sequence[Tensor],
        gt_labels: Sequence[Tensor],
        feat_shape: Sequence[int],
        img_shape: Sequence[int],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Dense target maps and their number of peaks, with mmdet's names and signature; for pictures and tests.

        Args:
            gt_bboxes: (n, 4) boxes of each image in input pixels.
            gt_labels: (n,) labels of each image.
            feat_shape: (B, _, H, W).
            img_shape: (height, width) of the network input.
        """
        size = (img_shape[0], img_shape[1])
        truth = GroundTruth.from_tensors(
            gt_bboxes, gt_labels, [size] * len(gt_bboxes), self.num_classes, type(self).__name__
        )
        shape = torch.Size((feat_shape[0], self.num_classes, *feat_shape[2:]))
        targets = self._targets(truth, shape, size)
        return dense_center_targets(targets), targets.num_peaks.clamp(min=1)

    def predict_by_feat(
        self,
        center_heatmap_preds: Maps,
        wh_preds: Maps,
        offset_preds: Maps,
        batch_img_metas: Sequence[dict[str, Any]],
        rescale: bool = True,
        with_nms: bool = False,
    ) -> list[InstanceData]:
        """Boxes from what :meth:`forward` returned, from its last level, the whole batch at once.

        Differs from mmdet's head: ``border`` is optional, padding holds no center, boxes are clipped to the image,
        ``score_thr`` and ``max_per_img`` are honored with and without NMS, and an ``nms`` in ``test_cfg`` is applied.

        Args:
            center_heatmap_preds: Logits by level.
            wh_preds: Sizes by level.
            offset_preds: Offsets by level.
            batch_img_metas: ``batch_input_shape``, ``img_shape``, and as the pipeline gives them ``border``,
                ``ori_shape`` and ``scale_factor``.
            rescale: Return boxes in pixels of the original image.
            with_nms: Apply ``test_cfg['nms']`` (which must be there then).

        Returns:
            ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,) of each image, best first.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
            ValueError: If ``with_nms`` is set without ``test_cfg['nms']``.
        """
        require_same_levels(type(self).__name__, center_heatmap_preds, wh_preds, offset_preds)
        options = self.test_cfg
        if with_nms and options['nms'] is None:
            raise ValueError("with_nms=True needs test_cfg['nms'], e.g. dict(type='nms', iou_threshold=0.5)")
        heat = center_heatmap_preds[-1]
        input_size, extent, cells = image_frame(batch_img_metas, heat)
        found = decode_centers(
            heat,
            self._decode_size(wh_preds[-1]),
            offset_preds[-1],
            input_size,
            extent,
            options['topk'],
            options['local_maximum_kernel'],
            options['score_thr'],
            cells,
        )
        return to_instances(found, batch_img_metas, extent, rescale, options['nms'], options['max_per_img'])

    def average_flipped(self, maps: Predictions, mirrored: Predictions) -> Predictions:
        """Predictions of the last level averaged with those of the mirrored input (flip test)."""
        heat, size, offset = (levels[-1] for levels in maps)
        heat_back, size_back, offset_back = (levels[-1] for levels in mirrored)
        return (
            [average_flipped_heat(heat, heat_back)],
            [average_flipped_size(size, size_back)],
            [average_flipped_offset(offset, offset_back)],
        )


def _boxes_around(offset: Tensor, size: Tensor) -> Tensor:
    """Boxes in cells, relative to the corner of the center's cell: (B, N, 4)."""
    return torch.cat((offset - size / 2, offset + size / 2), -1)
