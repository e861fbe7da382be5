"""CornerNet: Detecting Objects as Paired Keypoints, arXiv 1808.01244.

Shape legend: B images, C classes, H x W cells, N boxes, D embedding channels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmcv.cnn import ConvModule
from mmengine.model import bias_init_with_prob
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..backends import version_of
from ..decoding.corners import CornerMaps, decode_corners
from ..decoding.options import CornerDecoding
from ..functional.embedding import gather_tags, pairing_report
from ..losses.build import ELEMENT_LOSS, GROUPING_LOSS, HEATMAP_LOSS, build_loss
from ..losses.normalizer import normalizer
from ..registry import MODELS
from ..structures import Detections, GroundTruth, MapGeometry
from ..structures.geometry import cells_to_xy
from ..targets.keypoints import CornerTargets, corner_target_maps, corner_targets
from .corner_pool_block import BATCH_NORM, POOL_CHANNELS, CornerPoolBlock
from .heatmap_head import HEAT_PRIOR, HeatmapHead, HeatmapOptions, Instances, Levels, Metas, averaged, read_trained

CORNER_HEATMAP_LOSS = {'type': 'GaussianFocalLoss', 'alpha': 2.0, 'gamma': 4.0, 'loss_weight': 1}
EMBEDDING_LOSS = {'type': 'AssociativeEmbeddingLoss', 'pull_weight': 0.25, 'push_weight': 0.25}
OFFSET_LOSS = {'type': 'SmoothL1Loss', 'beta': 1.0, 'loss_weight': 1}
CORNERS = {'tl': ('top', 'left'), 'br': ('bottom', 'right')}  # and the pooling directions of each

Tags = list[Tensor] | list[None]
Predictions = tuple[Levels, Levels, Tags, Tags, Levels, Levels]


class CornerLevel(NamedTuple):
    """Predictions of one level, in the order of ``forward``."""

    tl_heat: Tensor  # (B, C, H, W)
    br_heat: Tensor
    tl_tags: Tensor | None  # (B, D, H, W)
    br_tags: Tensor | None
    tl_offsets: Tensor  # (B, 2, H, W)
    br_offsets: Tensor

    def corners(self) -> tuple[CornerMaps, CornerMaps]:
        """The maps of top-left and of bottom-right corners."""
        top_left = CornerMaps(self.tl_heat, self.tl_tags, self.tl_offsets)
        return top_left, CornerMaps(self.br_heat, self.br_tags, self.br_offsets)


@MODELS.register_module()
class CornerNetHead(HeatmapHead):
    """Objects as pairs of corners: two heat maps, grouped by tags.

    Arguments, parameter names and methods of mmdet's ``CornerHead``, so that its checkpoints load.

    Differs from mmdet's head: no loop over boxes; boxes are clipped and checked; on a shared cell the smaller box wins;
    the normalizer is averaged over ranks; any number of embedding channels, including none; every option is honored.

    Args:
        num_classes: C.
        in_channels: Channels of every feature map.
        num_feat_levels: Feature maps that are supervised (stacks of an Hourglass); prediction uses the last.
        corner_emb_channels: D; with 0 corners are paired by class and geometry alone.
        train_cfg: Accepted for SingleStageDetector, not read.
        test_cfg: Options of :class:`~mmdet_kpheads.decoding.options.CornerDecoding`.
        loss_heatmap: Heat-map loss that takes logits.
        loss_embedding: Grouping loss, called with tags (B, N, 2, D) and mask (B, N); None for none.
        loss_offset: Loss of the corner offset in cells.
        init_cfg: mmengine's initialization config.
        norm_cfg: Normalization inside the pooling blocks.
        stack_reduction: ``'sum'`` of the levels' losses, as mmdet trains, or ``'mean'``, as the original does.
        feat_channels: Channels between the two convolutions of an output; mmdet's head has 256.
        pool_channels: Channels that are pooled in each direction; mmdet's head has 128.
        options: More keywords of :class:`~mmdet_kpheads.heads.heatmap_head.HeatmapOptions`.

    Raises:
        ValueError: For an option out of range, named in the message.
        TypeError: For an unknown option, or a loss that the head cannot call.

    Example:
        >>> head = CornerNetHead(num_classes=80, in_channels=16, num_feat_levels=1)
        >>> tl_heats, br_heats, *_ = head((torch.zeros(2, 16, 32, 32),))
        >>> tl_heats[0].shape
        torch.Size([2, 80, 32, 32])
    """

    level_type = CornerLevel
    decoding_type = CornerDecoding

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_feat_levels: int = 2,
        corner_emb_channels: int = 1,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        loss_heatmap: dict = CORNER_HEATMAP_LOSS,
        loss_embedding: dict | None = EMBEDDING_LOSS,
        loss_offset: dict = OFFSET_LOSS,
        init_cfg: dict | list | None = None,
        norm_cfg: dict = BATCH_NORM,
        stack_reduction: str = 'sum',
        feat_channels: int = 256,
        pool_channels: int = POOL_CHANNELS,
        **options: Any,
    ) -> None:
        family = HeatmapOptions(num_feat_levels=num_feat_levels, stack_reduction=stack_reduction, **options)
        super().__init__(num_classes, family, train_cfg, test_cfg, init_cfg)
        self.in_channels = in_channels
        self.corner_emb_channels = corner_emb_channels
        self.with_corner_emb = corner_emb_channels > 0
        self.feat_channels = feat_channels
        for corner, directions in CORNERS.items():
            pools = [
                CornerPoolBlock(in_channels, directions, in_channels, pool_channels, norm_cfg, family.backend)
                for _ in range(num_feat_levels)
            ]
            self.add_module(f'{corner}_pool', nn.ModuleList(pools))
            self._add_outputs(corner)
        self.loss_heatmap = build_loss(loss_heatmap, 'loss_heatmap', HEATMAP_LOSS, family.backend)
        self.loss_offset = build_loss(loss_offset, 'loss_offset', ELEMENT_LOSS, family.backend)
        self.loss_embedding = None
        if self.with_corner_emb and loss_embedding is not None:
            self.loss_embedding = build_loss(loss_embedding, 'loss_embedding', GROUPING_LOSS, family.backend)

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
        feats = self.supervised_features(feats)
        levels = [self.forward_single(feature, level) for level, feature in enumerate(feats)]
        tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs = (list(maps) for maps in zip(*levels, strict=True))
        return tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs

    def forward_single(self, x: Tensor, lvl_ind: int, return_pool: bool = False) -> list[Any]:
        """Maps of one feature level, in the order of :meth:`forward`; ``return_pool`` adds the pooled features."""
        pooled = [self._layer(corner, 'pool', lvl_ind)(x) for corner in CORNERS]
        maps: list[Any] = []
        for name in ('heat', 'emb', 'off'):
            exists = name != 'emb' or self.with_corner_emb
            maps += [
                self._layer(corner, name, lvl_ind)(features) if exists else None
                for corner, features in zip(CORNERS, pooled, strict=True)
            ]
        return maps + pooled if return_pool else maps

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
        batch_gt_instances: Instances,
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Instances | None = None,
    ) -> dict[str, Any]:
        """Losses from what :meth:`forward` returned.

        Returns:
            Lists with one value per level: ``det_loss``, ``off_loss`` and what the grouping loss returns (``pull_loss``
            and ``push_loss``, or ``group_loss``); and for the log counts and, with embedding, a
            :class:`~mmdet_kpheads.functional.embedding.PairingReport` of the last level.

        Raises:
            ValueError: If the levels differ in size.
        """
        maps: Any = tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs
        return self._loss_of_batch(maps, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)

    def targets(self, truth: GroundTruth, geometry: MapGeometry) -> CornerTargets:
        """What every level is trained on."""
        return corner_targets(truth, geometry, self.num_classes, self.options)

    def level_losses(self, levels: Sequence[CornerLevel], targets: CornerTargets) -> list[dict[str, Tensor]]:
        """The losses of each level; heat-map and offset losses are the mean of both corners."""
        counts = [value for corner in targets for value in (corner.num_peaks, corner.regress.sum(dtype=torch.float32))]
        peaks, cells = normalizer(torch.stack(counts)).view(2, 2).unbind(1)  # of both corners
        return [self._losses_of_level(level, targets, peaks, cells) for level in levels]

    def _losses_of_level(
        self, level: CornerLevel, targets: CornerTargets, peaks: Tensor, cells: Tensor
    ) -> dict[str, Tensor]:
        heat, offset = [], []
        for maps, target, num_peaks, num_cells in zip(level.corners(), targets, peaks, cells, strict=True):
            # divided by 2 before they are added: the gradient of the map then has its final scale
            heat.append(self.heatmap_loss(self.loss_heatmap, maps.heat_logits, target, 2 * num_peaks))
            predicted = read_trained(maps.offsets, target, target.offsets)
            mask = target.regress[..., None]
            offset.append(averaged(self.loss_offset, predicted, target.offsets, mask, num_cells))
        losses = {'det_loss': heat[0] + heat[1], 'off_loss': torch.stack(offset).mean()}
        if self.loss_embedding is not None and level.tl_tags is not None:
            losses.update(self._grouping_losses(self._tags(level, targets).float(), targets.pair_mask()))
        return losses

    def _grouping_losses(self, tags: Tensor, mask: Tensor) -> dict[str, Tensor]:
        loss: Any = self.loss_embedding
        losses = loss(tags, mask)
        if not isinstance(losses, dict):
            kind, given = type(loss).__name__, type(losses).__name__
            raise TypeError(f'loss_embedding: {kind} must return a dict of named scalars, but returned {given}')
        return {f'{name}_loss': value for name, value in losses.items()}

    def log_values(self, levels: Sequence[CornerLevel], targets: CornerTargets) -> dict[str, Tensor]:
        """Boxes that lost a cell to a smaller one, and how well the tags of the last level pair the corners."""
        shared = targets.top_left.num_shared_cells + targets.bottom_right.num_shared_cells
        return {**self._pairing(levels[-1], targets), 'num_shared_cells': shared}

    def _tags(self, level: CornerLevel, targets: CornerTargets) -> Tensor:
        """Tags of both corners of each box, (B, N, 2, D)."""
        maps: Any = [level.tl_tags, level.br_tags]
        return gather_tags(maps, targets.pair_cells())

    def _pairing(self, level: CornerLevel, targets: CornerTargets) -> dict[str, Tensor]:
        """How close the tags are to what decoding needs, by name; empty without embedding."""
        if level.tl_tags is None:
            return {}
        threshold = self.decoding.distance_threshold
        tags = self._tags(level, targets)
        report = version_of(pairing_report, tags, self.options.backend)
        return report(tags, targets.pair_mask(), threshold, self._tag_distance)._asdict()

    @torch.no_grad()
    def pairing(self, feats: Sequence[Tensor], instances: Instances, metas: Sequence[dict]) -> dict[str, Tensor]:
        """How well tags pair the corners of given objects, without a loss; see ``PairingReport``.

        Args:
            feats: Feature maps, as of :meth:`forward`.
            instances: ``bboxes`` (n, 4) in input pixels and ``labels`` (n,) of each image.
            metas: Metas of the images.
        """
        level = CornerLevel(*(levels[-1] for levels in self(feats)))
        targets = self.targets(*self.truth_and_geometry(instances, metas, level.tl_heat))
        return self._pairing(level, targets)

    def get_targets(
        self,
        gt_bboxes: Sequence[Tensor],
        gt_labels: Sequence[Tensor],
        feat_shape: Sequence[int],
        img_shape: Sequence[int],
        with_corner_emb: bool = False,
        with_guiding_shift: bool = False,
        with_centripetal_shift: bool = False,
    ) -> dict[str, Any]:
        """Dense target maps with mmdet's names; for visualization and comparison.

        Args:
            gt_bboxes: (n, 4) boxes of each image in input pixels.
            gt_labels: (n,) labels of each image.
            feat_shape: (B, _, H, W).
            img_shape: (height, width) of the network input.
            with_corner_emb: Add ``corner_embedding``: of each image, ``[[top, left], [bottom, right]]`` in cells of
                each box, smaller boxes first (mmdet: in the order of the annotations).
            with_guiding_shift: Of mmdet's CentripetalHead; must be False.
            with_centripetal_shift: Likewise.

        Raises:
            ValueError: If a target of CentripetalHead is asked for.
        """
        if with_guiding_shift or with_centripetal_shift:
            raise ValueError("guiding and centripetal shifts are targets of mmdet's CentripetalHead: use that head")
        truth, geometry = self.truth_of_full_images(gt_bboxes, gt_labels, feat_shape, img_shape)
        targets = self.targets(truth, geometry)
        maps: dict[str, Any] = corner_target_maps(targets, self.options.backend)
        if with_corner_emb:
            y_x = cells_to_xy(targets.pair_cells(), feat_shape[3]).flip(-1)  # (B, N, 2, 2)
            maps['corner_embedding'] = [cells[valid].tolist() for cells, valid in zip(y_x, truth.valid, strict=True)]
        return maps

    @property
    def _tag_distance(self) -> str:
        """Distance between tags in decoding: that of the AE loss, Euclidean for other grouping losses."""
        return getattr(self.loss_embedding, 'distance', 'l2')

    def decode_level(self, level: CornerLevel, geometry: MapGeometry) -> Detections:
        """Boxes from one level."""
        return decode_corners(*level.corners(), geometry, self.decoding, self._tag_distance, self.options.backend)

    def predict_by_feat(
        self,
        tl_heats: Levels,
        br_heats: Levels,
        tl_embs: Tags,
        br_embs: Tags,
        tl_offs: Levels,
        br_offs: Levels,
        batch_img_metas: Sequence[Mapping[str, Any]],
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
            with_nms: Apply ``test_cfg.nms``, if it is not None.

        Returns:
            ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,) of each image, best first.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
        """
        maps: Any = tl_heats, br_heats, tl_embs, br_embs, tl_offs, br_offs
        return self._predict_batch(maps, batch_img_metas, rescale, with_nms)

    def predict_joined(
        self, maps: Predictions, mirrored: Predictions, batch_img_metas: Metas, rescale: bool = False
    ) -> list[InstanceData]:
        """Boxes of the input and of its mirror image, joined before one NMS (flip TTA).

        Args:
            maps: What :meth:`forward` returned for the input.
            mirrored: What it returned for the mirrored input, padding included.
            batch_img_metas: As of :meth:`predict_by_feat`.
            rescale: Return boxes in pixels of the original image.

        Returns:
            As :meth:`predict_by_feat`.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
            ValueError: If ``test_cfg`` has no ``nms``: every object would be found twice.
        """
        if self.decoding.nms is None:
            raise ValueError("predict_joined needs test_cfg['nms'], e.g. dict(type='soft_nms', method='gaussian')")
        views: Any = (maps, False), (mirrored, True)
        passes = [self.decode(*view, batch_img_metas=batch_img_metas, mirrored=flipped) for view, flipped in views]
        found = Detections(*(torch.cat(part, 1) for part in zip(*passes, strict=True)))
        return self._to_instances(found, batch_img_metas, rescale, with_nms=True)
