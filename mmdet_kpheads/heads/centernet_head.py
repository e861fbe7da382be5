"""CenterNet: Objects as Points, arXiv 1904.07850.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import bias_init_with_prob, normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..decoding.centers import CenterMaps, decode_centers, of_class
from ..decoding.flip import average_flipped_heat, average_flipped_offset, average_flipped_size
from ..decoding.options import CenterDecoding
from ..functional.peaks import gather_cells
from ..losses.build import BOX_LOSS, ELEMENT_LOSS, HEATMAP_LOSS, build_loss
from ..losses.normalizer import normalizer
from ..registry import MODELS
from ..structures import Detections, GroundTruth, MapGeometry
from ..targets.keypoints import KeypointTargets, center_target_maps, center_targets
from .heatmap_head import HEAT_PRIOR, HeatmapHead, HeatmapOptions, Instances, Levels, averaged, read_trained

REGRESSION_STD = 0.001  # CenterNet's initialization of size and offset weights
CENTER_HEATMAP_LOSS = {'type': 'GaussianFocalLoss', 'loss_weight': 1.0}  # the three weights: CenterNet, section 3
SIZE_LOSS = {'type': 'L1Loss', 'loss_weight': 0.1}
OFFSET_LOSS = {'type': 'L1Loss', 'loss_weight': 1.0}
SIZE_ENCODINGS = ('linear', 'log')
MAX_LOG_SIZE = 10.0  # exp(10) = 22026 cells: beyond any map, and finite

Predictions = tuple[Levels, Levels, Levels]


@MODELS.register_module()
class CenterNetHead(HeatmapHead):
    """Objects as points: a heat map of centers, with size and offset read at the peaks.

    Arguments, parameter names and methods of mmdet's head, so that its checkpoints load.

    Differs from mmdet's head: ``forward`` returns heat-map logits instead of probabilities; no loop over boxes; boxes
    are clipped and checked; on a shared cell the smaller box wins; the normalizer is averaged over ranks.

    Args:
        in_channels: Channels of the feature map.
        feat_channels: Channels between the two convolutions of a branch.
        num_classes: C.
        loss_center_heatmap: Heat-map loss that takes logits.
        loss_wh: Loss of the size in cells (of its logarithm with ``size_encoding='log'``); None for none.
        loss_offset: Loss of the offset in cells.
        train_cfg: Accepted for SingleStageDetector, not read.
        test_cfg: Options of :class:`~mmdet_kpheads.decoding.options.CenterDecoding`.
        init_cfg: mmengine's initialization config.
        loss_bbox: An IoU loss of mmdet on the decoded boxes, beside or in place of ``loss_wh``.
        size_encoding: ``'linear'``, or ``'log'``: the branch predicts log sizes, which are positive by construction.
        class_specific_wh: A size per class: objects of two classes may share a center.
        options: Keywords of :class:`~mmdet_kpheads.heads.heatmap_head.HeatmapOptions`.

    Raises:
        ValueError: For an option out of range, named in the message.
        TypeError: For an unknown option, or a loss that the head cannot call.

    Example:
        >>> head = CenterNetHead(in_channels=64, feat_channels=64, num_classes=80)
        >>> [levels[0].shape for levels in head((torch.zeros(2, 64, 32, 32),))]
        [torch.Size([2, 80, 32, 32]), torch.Size([2, 2, 32, 32]), torch.Size([2, 2, 32, 32])]
    """

    level_type = CenterMaps
    decoding_type = CenterDecoding

    def __init__(
        self,
        in_channels: int,
        feat_channels: int,
        num_classes: int,
        loss_center_heatmap: dict = CENTER_HEATMAP_LOSS,
        loss_wh: dict | None = SIZE_LOSS,
        loss_offset: dict = OFFSET_LOSS,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        loss_bbox: dict | None = None,
        size_encoding: str = 'linear',
        class_specific_wh: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(num_classes, HeatmapOptions(**options), train_cfg, test_cfg, init_cfg)
        if size_encoding not in SIZE_ENCODINGS:
            raise ValueError(f'size_encoding must be one of {SIZE_ENCODINGS}, but got {size_encoding!r}')
        self.size_encoding = size_encoding
        self.class_specific_wh = class_specific_wh
        self.heatmap_head = self._build_head(in_channels, feat_channels, num_classes)
        self.wh_head = self._build_head(in_channels, feat_channels, 2 * (num_classes if class_specific_wh else 1))
        self.offset_head = self._build_head(in_channels, feat_channels, 2)
        backend = self.options.backend
        self.loss_center_heatmap = build_loss(loss_center_heatmap, 'loss_center_heatmap', HEATMAP_LOSS, backend)
        self.loss_wh = build_loss(loss_wh, 'loss_wh', ELEMENT_LOSS, backend) if loss_wh else None
        self.loss_offset = build_loss(loss_offset, 'loss_offset', ELEMENT_LOSS, backend)
        self.loss_bbox = build_loss(loss_bbox, 'loss_bbox', BOX_LOSS, backend) if loss_bbox else None

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
            ValueError: If ``x`` does not have ``num_feat_levels`` levels and ``feat_level`` is not set.
        """
        features = self.supervised_features(x)
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
        center_heatmap_preds: Levels,
        wh_preds: Levels,
        offset_preds: Levels,
        batch_gt_instances: Instances,
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Instances | None = None,
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned.

        Returns:
            ``loss_center_heatmap``, ``loss_wh``, ``loss_offset``, ``loss_bbox`` as configured (with several levels a
            list each), and counts for the log: ``num_dropped_boxes``, ``num_bad_labels``, ``num_shared_cells``.

        Raises:
            ValueError: If the levels differ in size, or the predictions differ in the number of levels.
        """
        maps = center_heatmap_preds, wh_preds, offset_preds
        losses = self._loss_of_batch(maps, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
        if len(center_heatmap_preds) > 1:
            return losses
        return {name: value[0] if isinstance(value, list) else value for name, value in losses.items()}

    def targets(self, truth: GroundTruth, geometry: MapGeometry) -> KeypointTargets:
        """What every level is trained on."""
        return center_targets(truth, geometry, self.num_classes, self.options, self.class_specific_wh)

    def level_losses(self, levels: Sequence[CenterMaps], targets: KeypointTargets) -> list[dict[str, Tensor]]:
        """The losses of each level, divided by the number of peaks."""
        objects = normalizer(targets.num_peaks)
        return [
            {
                'loss_center_heatmap': self.heatmap_loss(self.loss_center_heatmap, level.heat_logits, targets, objects),
                **self._regression_losses(level, targets, objects),
            }
            for level in levels
        ]

    def _regression_losses(self, maps: CenterMaps, targets: KeypointTargets, objects: Tensor) -> dict[str, Tensor]:
        trained = targets.regress[..., None]  # (B, N, 1)
        size_target = self._encode(targets.sizes.clamp(min=torch.finfo(torch.float32).tiny))
        size = of_class(gather_cells(maps.sizes, targets.cells).float(), targets.labels)
        size = torch.where(trained, size, size_target)
        offset = read_trained(maps.offsets, targets, targets.offsets)
        losses = {}
        if self.loss_wh is not None:
            losses['loss_wh'] = averaged(self.loss_wh, size, size_target, trained, objects * 2)
        losses['loss_offset'] = averaged(self.loss_offset, offset, targets.offsets, trained, objects * 2)
        if self.loss_bbox is not None:
            boxes = _boxes_around(offset, self._decode_size(size).clamp(min=0)).flatten(0, 1)  # (B * N, 4)
            truths = _boxes_around(targets.offsets, targets.sizes).flatten(0, 1)
            losses['loss_bbox'] = averaged(self.loss_bbox, boxes, truths, targets.regress.flatten(), objects)
        return losses

    def log_values(self, levels: Sequence[CenterMaps], targets: KeypointTargets) -> dict[str, Tensor]:
        """Boxes that lost their cell to a smaller one."""
        return {'num_shared_cells': targets.num_shared_cells}

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
        """Dense target maps and their number of peaks, with mmdet's names; for visualization and comparison.

        Args:
            gt_bboxes: (n, 4) boxes of each image in input pixels.
            gt_labels: (n,) labels of each image.
            feat_shape: (B, _, H, W).
            img_shape: (height, width) of the network input.
        """
        targets = self.targets(*self.truth_of_full_images(gt_bboxes, gt_labels, feat_shape, img_shape))
        return center_target_maps(targets, self.options.backend), targets.num_peaks.clamp(min=1)

    def decode_level(self, level: CenterMaps, geometry: MapGeometry) -> Detections:
        """Boxes from one level."""
        maps = CenterMaps(level.heat_logits, self._decode_size(level.sizes), level.offsets)
        return decode_centers(maps, geometry, self.decoding, self.options.backend)

    def predict_by_feat(
        self,
        center_heatmap_preds: Levels,
        wh_preds: Levels,
        offset_preds: Levels,
        batch_img_metas: Sequence[Mapping[str, Any]],
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
            with_nms: Require ``test_cfg.nms``; it is applied whenever it is set.

        Returns:
            ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,) of each image, best first.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
            ValueError: If ``with_nms`` is set without ``test_cfg.nms``.
        """
        if with_nms and self.decoding.nms is None:
            raise ValueError("with_nms=True needs test_cfg['nms'], e.g. dict(type='nms', iou_threshold=0.5)")
        maps = center_heatmap_preds, wh_preds, offset_preds
        return self._predict_batch(maps, batch_img_metas, rescale, with_nms=True)

    def average_flipped(self, maps: Predictions, mirrored: Predictions, average_offsets: bool = True) -> Predictions:
        """Predictions of the last level averaged with those of the mirrored input (flip TTA).

        Args:
            maps: What :meth:`forward` returned for the input.
            mirrored: What it returned for the mirrored input.
            average_offsets: Average the offsets too. CenterNet's repository keeps those of the plain input.
        """
        heat, size, offset = (levels[-1] for levels in maps)
        heat_back, size_back, offset_back = (levels[-1] for levels in mirrored)
        return (
            [average_flipped_heat(heat, heat_back)],
            [average_flipped_size(size, size_back)],
            [average_flipped_offset(offset, offset_back) if average_offsets else offset],
        )


def _boxes_around(offset: Tensor, size: Tensor) -> Tensor:
    """Boxes in cells, relative to the corner of the center's cell: (B, N, 4)."""
    return torch.cat((offset - size / 2, offset + size / 2), -1)
