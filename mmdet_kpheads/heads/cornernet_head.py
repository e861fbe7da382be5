"""CornerNet: Detecting Objects as Paired Keypoints, arXiv 1808.01244.

Shape legend: B images, C classes, H x W cells, N boxes, D embedding channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..decoding.corner import CornerMaps, PairingOptions, decode_corners
from ..functional.embedding import gather_tags, pairing_report
from ..functional.gaussian import DEFAULT_MIN_OVERLAP, check_radius_options
from ..ground_truth import GroundTruth
from ..losses.build import build_loss
from ..losses.normalizer import normalizer
from ..registry import MODELS
from ..targets.corner import CornerTargets, corner_targets, dense_corner_targets
from ..targets.points import MapFrame, PointTargets
from .corner_pool_block import BATCH_NORM, POOL_CHANNELS, CornerPoolBlock
from .losses import averaged, heatmap_loss, read_trained, try_grouping_loss, try_heatmap_loss, try_regression_loss
from .options import (
    check_levels,
    image_frame,
    level_share,
    read_test_cfg,
    require_same_shape,
    supervised_levels,
)
from .results import to_instances

HEAT_PRIOR = 0.1  # section 4.1
HEATMAP_LOSS = {'type': 'GaussianFocalLoss', 'alpha': 2.0, 'gamma': 4.0, 'loss_weight': 1}
GROUPING_LOSS = {'type': 'AssociativeEmbeddingLoss', 'pull_weight': 0.25, 'push_weight': 0.25}
OFFSET_LOSS = {'type': 'SmoothL1Loss', 'beta': 1.0, 'loss_weight': 1}
CORNERS = {'tl': ('top', 'left'), 'br': ('bottom', 'right')}  # and the pooling directions of each
TEST_DEFAULTS = {
    'corner_topk': 100,
    'local_maximum_kernel': 3,
    'distance_threshold': 0.5,
    'num_dets': 1000,
    'score_thr': 0.0,
    'max_per_img': 100,
    'nms': None,
}

Levels = list[Tensor]
Tags = list[Tensor] | list[None]
Predictions = tuple[Levels, Levels, Tags, Tags, Levels, Levels]


@MODELS.register_module()
class CornerNetHead(BaseDenseHead):
    """Objects as pairs of corners: two heat maps, grouped by tags.

    Arguments, parameter names and methods of mmdet's ``CornerHead``, so that its checkpoints load.

    Differs from mmdet's head: no loop over boxes; boxes are clipped and checked; on a shared cell the smaller box wins;
    the normalizer is averaged over ranks; any number of embedding channels, none too; every test option is honored.

    Args:
        num_classes: C.
        in_channels: Channels of every feature map.
        num_feat_levels: Feature maps that are supervised (stacks of an Hourglass); prediction uses the last.
        corner_emb_channels: D; with 0 corners are paired by class and geometry alone.
        train_cfg: Taken for SingleStageDetector, not read.
        test_cfg: ``corner_topk``, ``local_maximum_kernel``, ``distance_threshold``, ``num_dets``, ``score_thr``,
            ``max_per_img`` (all if not positive), ``nms`` (None for none).
        loss_heatmap: Heat-map loss that takes logits.
        loss_embedding: Grouping loss, called with tags (B, N, 2, D) and mask (B, N); None for none.
        loss_offset: Loss of the corner offset in cells.
        init_cfg: mmengine's initialization config.
        norm_cfg: Normalization inside the pooling blocks.
        stack_reduction: ``'sum'`` of the levels' losses, as mmdet trains, or ``'mean'``, as the original.
        radius: ``'exact'``, or ``'legacy'`` for the formula before CornerNet corrected it.
        min_overlap: IoU kept inside the Gaussian radius; None for 0.3 (exact) or 0.7 (legacy).
        ignore_regions: Train nothing on cells that touch an ignore box.
        feat_level: With ``num_feat_levels=1``: which of several feature maps to use.
        feat_channels: Channels between the two convolutions of an output; mmdet's head has 256.
        pool_channels: Channels that are pooled in each direction; mmdet's head has 128.

    Raises:
        ValueError: For an option out of range, named in the message.
        TypeError: For a loss that the head cannot call.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_feat_levels: int = 2,
        corner_emb_channels: int = 1,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        loss_heatmap: dict = HEATMAP_LOSS,
        loss_embedding: dict | None = GROUPING_LOSS,
        loss_offset: dict = OFFSET_LOSS,
        init_cfg: dict | list | None = None,
        norm_cfg: dict = BATCH_NORM,
        stack_reduction: str = 'sum',
        radius: str = 'exact',
        min_overlap: float | None = None,
        ignore_regions: bool = False,
        feat_level: int | None = None,
        feat_channels: int = 256,
        pool_channels: int = POOL_CHANNELS,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_levels(num_feat_levels, feat_level, stack_reduction)
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_feat_levels = num_feat_levels
        self.corner_emb_channels = corner_emb_channels
        self.with_corner_emb = corner_emb_channels > 0
        self.stack_reduction = stack_reduction
        self.radius = radius
        self.min_overlap = DEFAULT_MIN_OVERLAP.get(radius, 0.0) if min_overlap is None else min_overlap
        check_radius_options(self.radius, self.min_overlap)
        self.ignore_regions = ignore_regions
        self.feat_level = feat_level
        self.feat_channels = feat_channels
        self.train_cfg = train_cfg
        self.test_cfg = read_test_cfg(test_cfg, TEST_DEFAULTS, type(self).__name__)
        for corner, directions in CORNERS.items():
            pools = [
                CornerPoolBlock(in_channels, directions, in_channels, pool_channels, norm_cfg)
                for _ in range(num_feat_levels)
            ]
            self.add_module(f'{corner}_pool', nn.ModuleList(pools))
            self._add_outputs(corner)
        self.loss_heatmap = build_loss(loss_heatmap, 'loss_heatmap', try_heatmap_loss)
        self.loss_offset = build_loss(loss_offset, 'loss_offset', try_regression_loss)
        self.loss_embedding = None
        if self.with_corner_emb and loss_embedding is not None:
            self.loss_embedding = build_loss(loss_embedding, 'loss_embedding', try_grouping_loss)

    def _add_outputs(self, corner: str) -> None:
        """One corner's outputs on every level, under mmdet's names: tl_heat, tl_off, tl_emb, and br_*."""
        outputs = {'heat': self.num_classes, 'off': 2}
        if self.with_corner_emb:
            outputs['emb'] = self.corner_emb_channels
        for name, channels in outputs.items():
            levels = [self._output(channels) for _ in range(self.num_feat_levels)]
            self.add_module(f'{corner}_{name}', nn.ModuleList(levels))

    def _output(self, channels: int) -> nn.Sequential:
        return nn.Sequential(
            ConvModule(self.in_channels, self.feat_channels, 3, padding=1),
            ConvModule(self.feat_channels, channels, 1, norm_cfg=None, act_cfg=None),
        )

    def init_weights(self) -> None:
        """Heat bias for a prior of 0.1; the last convolutions keep nn.Conv2d's initialization."""
        super().init_weights()
        for name, branch in self.named_children():
            if not name.endswith(('_heat', '_off', '_emb')):
                continue
            for _, last in branch:
                last.conv.reset_parameters()
                if name.endswith('_heat'):
                    nn.init.constant_(last.conv.bias, bias_init_with_prob(HEAT_PRIOR))

    def forward(self, feats: Sequence[Tensor]) -> Predictions:
        """Heat-map logits, tags (None without embedding) and offsets of both corners, a list of levels each.

        Returns:
            ``tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs``.

        Raises:
            ValueError: If there are not ``num_feat_levels`` feature maps.
        """
        feats = supervised_levels(feats, self.num_feat_levels, self.feat_level, type(self).__name__)
        levels = [self.forward_single(feature, level) for level, feature in enumerate(feats)]
        tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs = (list(maps) for maps in zip(*levels, strict=True))
        return tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs

    def forward_single(
        self, x: Tensor, lvl_ind: int
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor, Tensor]:
        """Maps of one feature level, in the order of :meth:`forward`."""
        tl, br = (self._branch(corner, lvl_ind, x) for corner in CORNERS)
        return tl.heat_logits, br.heat_logits, tl.tags, br.tags, tl.offsets, br.offsets

    def _branch(self, corner: str, level: int, x: Tensor) -> CornerMaps:
        pooled = self._layer(corner, 'pool', level)(x)
        tags = self._layer(corner, 'emb', level)(pooled) if self.with_corner_emb else None
        return CornerMaps(self._layer(corner, 'heat', level)(pooled), tags, self._layer(corner, 'off', level)(pooled))

    def _layer(self, corner: str, name: str, level: int) -> nn.Module:
        return self.get_submodule(f'{corner}_{name}.{level}')

    def loss_by_feat(
        self,
        tl_heats: Levels,
        br_heats: Levels,
        tl_embs: Tags,
        br_embs: Tags,
        tl_offs: Levels,
        br_offs: Levels,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned.

        Returns:
            Lists with one value a level: ``det_loss``, ``off_loss`` and what the grouping loss gives (``pull_loss`` and
            ``push_loss``, or ``group_loss``); and for the log counts and, with embedding, a
            :class:`~mmdet_kpheads.functional.embedding.PairingReport` of the last level.

        Raises:
            ValueError: If the levels differ in size.
        """
        name = type(self).__name__
        require_same_shape(name, (*tl_heats, *br_heats))
        truth = GroundTruth.from_instances(
            batch_gt_instances, batch_img_metas, self.num_classes, name, batch_gt_instances_ignore
        )
        maps = (tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs)
        return self.loss_by_truth(*maps, truth, tuple(batch_img_metas[0]['batch_input_shape']))

    def loss_by_truth(
        self,
        tl_heats: Levels,
        br_heats: Levels,
        tl_embs: Tags,
        br_embs: Tags,
        tl_offs: Levels,
        br_offs: Levels,
        truth: GroundTruth,
        input_size: tuple[int, int],
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned and ground truth as tensors: one graph for ``torch.compile``.

        The maps are those of :meth:`loss_by_feat`; ``input_size`` is (height, width) of the network input in pixels.
        """
        targets = self._targets(truth, tl_heats[0].shape, input_size)
        levels = zip(
            map(CornerMaps, tl_heats, tl_embs, tl_offs), map(CornerMaps, br_heats, br_embs, br_offs), strict=True
        )
        with torch.autocast(tl_heats[0].device.type, enabled=False):
            by_level = [self._level_losses(tl, br, targets) for tl, br in levels]
            pairing = self._pairing(tl_embs[-1], br_embs[-1], targets)
        share = level_share(len(by_level), self.stack_reduction)
        losses: dict[str, Any] = {key: [level[key] * share for level in by_level] for key in by_level[0]}
        return (
            losses
            | pairing
            | {
                'num_dropped_boxes': truth.num_dropped_boxes,
                'num_bad_labels': truth.num_bad_labels,
                'num_shared_cells': targets.top_left.num_shared_cells + targets.bottom_right.num_shared_cells,
            }
        )

    def _targets(self, truth: GroundTruth, map_shape: torch.Size, input_size: tuple[int, int]) -> CornerTargets:
        return corner_targets(
            truth, MapFrame(map_shape, input_size, self.min_overlap, self.radius), self.ignore_regions
        )

    def _level_losses(self, tl: CornerMaps, br: CornerMaps, targets: CornerTargets) -> dict[str, Tensor]:
        """Losses of one level; those of heat map and offset are the mean of both corners."""
        corners = (tl, targets.top_left), (br, targets.bottom_right)
        # divided by 2 before they are added: the gradient of the map is then made with its final scale
        heats = [
            heatmap_loss(self.loss_heatmap, maps.heat_logits, target, 2 * normalizer(target.num_peaks))
            for maps, target in corners
        ]
        offsets = [self._offset_loss(maps, target) for maps, target in corners]
        losses = {'det_loss': heats[0] + heats[1], 'off_loss': torch.stack(offsets).mean()}
        if tl.tags is not None and br.tags is not None and self.loss_embedding is not None:
            tags = gather_tags([tl.tags, br.tags], targets.pair_cells).float()  # (B, N, 2, D)
            losses |= {f'{key}_loss': value for key, value in self.loss_embedding(tags, targets.pair_mask).items()}
        return losses

    def _pairing(self, tl_tags: Tensor | None, br_tags: Tensor | None, targets: CornerTargets) -> dict[str, Tensor]:
        """How near the tags are to what decoding wants, by name; empty without embedding."""
        if tl_tags is None or br_tags is None:
            return {}
        tags = gather_tags([tl_tags, br_tags], targets.pair_cells)
        threshold = self.test_cfg['distance_threshold']
        return pairing_report(tags, targets.pair_mask, threshold, self._tag_distance)._asdict()

    @torch.no_grad()
    def pairing(
        self, feats: Sequence[Tensor], instances: Sequence[InstanceData], metas: Sequence[dict]
    ) -> dict[str, Tensor]:
        """How well tags pair the corners of given objects, without a loss; see ``PairingReport``.

        Args:
            feats: Feature maps, as of :meth:`forward`.
            instances: ``bboxes`` (n, 4) in input pixels and ``labels`` (n,) of each image.
            metas: Metas of the images.
        """
        tl_heats, _, tl_tags, br_tags, _, _ = self(feats)
        truth = GroundTruth.from_instances(instances, metas, self.num_classes, type(self).__name__)
        targets = self._targets(truth, tl_heats[-1].shape, tuple(metas[0]['batch_input_shape']))
        return self._pairing(tl_tags[-1], br_tags[-1], targets)

    def _offset_loss(self, maps: CornerMaps, target: PointTargets) -> Tensor:
        """Divided by the number of cells that are trained, whatever their class."""
        offsets = read_trained(maps.offsets, target.cells, target.regress, target.offsets)
        cells = normalizer(target.regress.sum(dtype=torch.float32))
        return averaged(self.loss_offset, offsets, target.offsets, target.regress[..., None], cells)

    def get_targets(
        self,
        gt_bboxes: Sequence[Tensor],
        gt_labels: Sequence[Tensor],
        feat_shape: Sequence[int],
        img_shape: Sequence[int],
    ) -> dict[str, Tensor]:
        """Dense target maps with mmdet's names; for pictures and tests.

        Args:
            gt_bboxes: (n, 4) boxes of each image in input pixels.
            gt_labels: (n,) labels of each image.
            feat_shape: (B, _, H, W).
            img_shape: (height, width) of the network input.
        """
        size = (img_shape[0], img_shape[1])
        sizes = [size] * len(gt_bboxes)
        truth = GroundTruth.from_tensors(gt_bboxes, gt_labels, sizes, self.num_classes, type(self).__name__)
        shape = torch.Size((feat_shape[0], self.num_classes, *feat_shape[2:]))
        return dense_corner_targets(self._targets(truth, shape, size))

    @property
    def _tag_distance(self) -> str:
        """Distance between tags in decoding: that of the AE loss, Euclidean for other grouping losses."""
        return getattr(self.loss_embedding, 'distance', 'l2')

    def predict_by_feat(
        self,
        tl_heats: Levels,
        br_heats: Levels,
        tl_embs: Tags,
        br_embs: Tags,
        tl_offs: Levels,
        br_offs: Levels,
        batch_img_metas: Sequence[dict[str, Any]],
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes from what :meth:`forward` returned, from its last level, the whole batch at once.

        Args:
            tl_heats: Top-left logits by level; likewise the next five.
            br_heats: Bottom-right logits.
            tl_embs: Top-left tags.
            br_embs: Bottom-right tags.
            tl_offs: Top-left offsets.
            br_offs: Bottom-right offsets.
            batch_img_metas: ``batch_input_shape``, ``img_shape``, and as the pipeline gives them ``border``,
                ``ori_shape`` and ``scale_factor``.
            rescale: Return boxes in pixels of the original image.
            with_nms: Apply ``test_cfg['nms']``, if it is not None.

        Returns:
            ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,) of each image, best first.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
        """
        input_size, extent, cells = image_frame(batch_img_metas, tl_heats[-1])
        options = {key: self.test_cfg[key] for key in PairingOptions._fields if key in self.test_cfg}
        found = decode_corners(
            CornerMaps(tl_heats[-1], tl_embs[-1], tl_offs[-1]),
            CornerMaps(br_heats[-1], br_embs[-1], br_offs[-1]),
            input_size,
            extent,
            PairingOptions(**options, distance=self._tag_distance),
            cells,
        )
        nms = self.test_cfg['nms'] if with_nms else None
        return to_instances(found, batch_img_metas, extent, rescale, nms, self.test_cfg['max_per_img'])
