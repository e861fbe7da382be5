"""AutoAssign: Differentiable Label Assignment for Dense Object Detection, arXiv 2007.03496.

Shape legend: B images, C classes, H x W cells of a level, N objects, T grid points of all levels.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import Scale
from mmdet.models.dense_heads.anchor_free_head import AnchorFreeHead
from mmengine.model import bias_init_with_prob, normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..backends import as_one_graph, check_backend, outside_graphs
from ..decoding.grid_points import GridMaps, decode_grid_points
from ..decoding.options import GridDecoding, check_options, live_config, read_options
from ..errors import KpheadsWarning
from ..losses.autoassign_loss import AutoAssignLoss, GridPredictions, assignment_batch, positive_weights
from ..losses.build import BOX_LOSS, build_loss, require_weight
from ..registry import MODELS
from ..structures import Detections, GridPyramid, GroundTruth
from ..structures.geometry import Size, batch_input_size, full_extents, image_extents
from ..targets.grid_pairs import GridPairs, grid_pairs
from .center_prior import TOPK, CenterPrior
from .postprocess import to_instances

CLASS_PRIOR = 0.02  # probability at initialization (mmdet; the authors' focal initialization)
DISTANCE_BIAS = 4.0  # strides: the initial box reaches four cells to each side
LAST_CONV_STD = 0.01
GROUP_NORM = {'type': 'GN', 'num_groups': 32, 'requires_grad': True}
IOU_LOSS = {'type': 'IoULoss', 'loss_weight': 1.0}
INIT = {
    'type': 'Normal',
    'layer': 'Conv2d',
    'std': 0.01,
    'override': {'type': 'Normal', 'name': 'conv_cls', 'std': 0.01, 'bias_prob': 0.01},
}
NO_LIMITS = {'score_thr': 0.0, 'nms_pre': -1}  # what mmdet's predict_by_feat assumes for a config without them
MAX_LOG_DISTANCE = 10.0  # exp(10) = 22026 strides: beyond any image, and finite
DISTANCES = {'relu': torch.relu, 'softplus': softplus, 'exp': lambda x: x.clamp(max=MAX_LOG_DISTANCE).exp()}
UNUSED = (  # arguments of FCOSHead: AutoAssign has one joint loss and no regression ranges
    'regress_ranges',
    'center_sampling',
    'center_sample_radius',
    'norm_on_bbox',
    'centerness_on_reg',
    'loss_cls',
    'loss_centerness',
    'cls_predictor_cfg',
)

Levels = list[Tensor]


@MODELS.register_module()
class AutoAssignHead(AnchorFreeHead):
    """FCOS-shaped head whose grid points are assigned to objects by learned weights.

    Arguments, parameter names and methods of mmdet's head, so that its checkpoints load.

    Differs from mmdet's head: memory grows with the pairs of an object and a grid point inside it; an object without a
    grid point is in no loss; where boxes of a class overlap the smallest negative weight wins, in any order of the
    boxes; the normalizers are averaged over ranks; ``force_topk`` takes grid points of the level that fits the object.

    Args:
        num_classes: C.
        in_channels: Channels of every feature map.
        force_topk: Objects without a grid point take the ``topk`` nearest ones.
        topk: See ``force_topk``.
        pos_loss_weight: Weight of ``loss_pos``.
        neg_loss_weight: Weight of ``loss_neg``.
        center_loss_weight: Weight of ``loss_center``.
        loss_bbox: An IoU loss; the published config has GIoU with weight 5.
        norm_cfg: Normalization in the towers.
        test_cfg: Options of :class:`~mmdet_kpheads.decoding.options.GridDecoding`. A ConfigDict
            stays the caller's object: a change after the build takes effect.
        init_cfg: mmengine's initialization config.
        distance_activation: ``'relu'`` as published; ``'softplus'`` or ``'exp'`` keep a gradient where relu has none.
        ignore_regions: Exclude grid points inside an ignore box (COCO crowd, VOC difficult) from the losses.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``, also for losses of ours whose config sets none.
        kwargs: ``feat_channels``, ``stacked_convs``, ``strides``, ``dcn_on_last_conv``, ``bbox_coder``, ``conv_cfg``
            and ``train_cfg`` of mmdet's AnchorFreeHead. Arguments that only FCOSHead reads are ignored, with a warning.

    Raises:
        TypeError: For an argument that neither reads, or a loss that the head cannot call.
        ValueError: For an option out of range, named in the message.

    Example:
        >>> head = AutoAssignHead(num_classes=80, in_channels=16, feat_channels=32, strides=(8, 16))
        >>> class_logits, distances_px, objectness = head((torch.zeros(2, 16, 32, 32), torch.zeros(2, 16, 16, 16)))
        >>> [level.shape for level in class_logits]
        [torch.Size([2, 80, 32, 32]), torch.Size([2, 80, 16, 16])]
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        force_topk: bool = False,
        topk: int = TOPK,
        pos_loss_weight: float = 0.25,
        neg_loss_weight: float = 0.75,
        center_loss_weight: float = 0.75,
        loss_bbox: dict = IOU_LOSS,
        norm_cfg: dict | None = GROUP_NORM,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = INIT,
        distance_activation: str = 'relu',
        ignore_regions: bool = False,
        backend: str = 'auto',
        **kwargs: Any,
    ) -> None:
        check_backend(backend)
        if distance_activation not in DISTANCES:
            raise ValueError(f'distance_activation must be one of {sorted(DISTANCES)}, but got {distance_activation!r}')
        self._warn_of_unused(kwargs)
        strides = kwargs.get('strides', ())
        if not all(isinstance(stride, int) for stride in strides):
            raise ValueError(f'strides must be whole numbers, but got {strides}')
        kwargs.setdefault('conv_bias', True)
        super().__init__(
            num_classes,
            in_channels,
            norm_cfg=norm_cfg,
            test_cfg=live_config(test_cfg),
            init_cfg=init_cfg,
            **kwargs,
        )
        if not norm_cfg or norm_cfg.get('type') != 'GN':
            warnings.warn(
                f'{type(self).__name__} with norm_cfg={norm_cfg}: its towers are made for group normalization; users '
                'report that batch normalization costs 3 AP',
                KpheadsWarning,
                stacklevel=2,
            )
        self.center_prior = CenterPrior(force_topk, topk, num_classes, self.strides)
        weights = {'pos': pos_loss_weight, 'neg': neg_loss_weight, 'center': center_loss_weight}
        for name, weight in weights.items():
            require_weight(weight, f'{name}_loss_weight')
        self.joint_loss = AutoAssignLoss(pos_loss_weight, neg_loss_weight, center_loss_weight, backend)
        self.distance_activation = distance_activation
        self.ignore_regions = ignore_regions
        self.backend = backend
        self.loss_cls = None  # built by the parent, not used
        self.loss_bbox = build_loss(loss_bbox, 'loss_bbox', BOX_LOSS, backend)
        check_options(self.decoding, type(self).__name__)

    @property
    def decoding(self) -> GridDecoding:
        """The decoder's options, read from ``test_cfg`` now."""
        return read_options(GridDecoding, self.test_cfg, type(self).__name__)

    def _warn_of_unused(self, kwargs: dict[str, Any]) -> None:
        unused = [name for name in UNUSED if name in kwargs]
        for name in unused:
            kwargs.pop(name)
        if unused:
            message = f'{type(self).__name__} ignores {unused}, arguments of FCOSHead'
            warnings.warn(message, KpheadsWarning, stacklevel=3)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.conv_centerness = nn.Conv2d(self.feat_channels, 1, 3, padding=1)
        self.scales = nn.ModuleList([Scale(1.0) for _ in self.strides])

    def init_weights(self) -> None:
        """Class bias for a prior of 0.02, distances of four cells."""
        super().init_weights()
        normal_init(self.conv_cls, std=LAST_CONV_STD, bias=bias_init_with_prob(CLASS_PRIOR))
        normal_init(self.conv_reg, std=LAST_CONV_STD, bias=DISTANCE_BIAS)

    def forward(self, x: Iterable[Tensor]) -> tuple[Levels, Levels, Levels]:
        """Class logits (B, C, H, W), distances (B, 4, H, W) in pixels and objectness logits (B, 1, H, W) by level.

        Raises:
            ValueError: If there are not as many feature maps as strides.
        """
        x = tuple(x)
        if len(x) != len(self.strides):
            raise ValueError(
                f'{type(self).__name__} got {len(x)} feature levels, configured for {len(self.strides)} strides '
                f'{tuple(self.strides)}: set strides in the head, or num_outs in the neck'
            )
        levels = [self.forward_single(*level) for level in zip(x, self.scales, self.strides, strict=True)]
        class_logits, distances, objectness = (list(maps) for maps in zip(*levels, strict=True))
        return class_logits, distances, objectness

    def forward_single(self, x: Tensor, scale: nn.Module, stride: int) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of one feature level."""
        class_logits, distances, _, box_features = super().forward_single(x)
        # float: a distance in pixels may be too large for half precision
        distances = DISTANCES[self.distance_activation](scale(distances.float())) * stride
        return class_logits, distances, self.conv_centerness(box_features)

    @outside_graphs  # the number of pairs is a value of the device, and so is every shape after it
    def loss_by_feat(
        self,
        cls_scores: Levels,
        bbox_preds: Levels,
        objectnesses: Levels,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence[InstanceData] | None = None,
    ) -> dict[str, Tensor]:
        """Losses from what :meth:`forward` returned.

        Returns:
            ``loss_pos``, ``loss_neg``, ``loss_center``, and for the log ``num_pointless_boxes`` (objects without a
            grid point), ``num_dropped_boxes``, ``num_bad_labels``, ``prior_mean`` and ``prior_sigma`` (mean magnitude,
            in strides).

        Raises:
            ValueError: If the strides do not fit the maps.
        """
        self._require_strides(cls_scores, batch_img_metas)
        truth = GroundTruth.from_instances(
            batch_gt_instances,
            batch_img_metas,
            self.num_classes,
            type(self).__name__,
            batch_gt_instances_ignore,
            self.backend,
        )
        return self.loss_by_truth(cls_scores, bbox_preds, objectnesses, truth=truth)

    def loss_by_truth(self, *maps: Levels, truth: GroundTruth) -> dict[str, Tensor]:
        """Losses from what :meth:`forward` returned and ground truth as tensors; see :meth:`loss_by_feat`."""
        class_logits = maps[0][0]
        pairs = self._pairs(truth, GridPyramid.from_maps(maps[0], self.strides))
        loss = type(self).loss_by_pairs
        if len(self.joint_loss.chunks(pairs.total)) == 1:
            loss = as_one_graph(loss, class_logits, self.backend)
        return loss(self, *maps, truth=truth, pairs=pairs)

    def loss_by_pairs(self, *maps: Levels, truth: GroundTruth, pairs: GridPairs) -> dict[str, Tensor]:
        """Losses from pairs of an object and a grid point: all that follows the one read of the device."""
        grid = GridPyramid.from_maps(maps[0], self.strides)
        ignored = grid.inside_boxes(truth.ignore_boxes, truth.ignore_valid) if self.ignore_regions else None
        with torch.autocast(maps[0][0].device.type, enabled=False):
            batch = assignment_batch(self._predictions(grid, *maps), truth, grid, pairs, ignored, self.backend)
            losses = self.joint_loss(batch, self.center_prior, self.loss_bbox)
        return losses | self._log(truth, pairs)

    def _require_strides(self, maps: Levels, metas: Sequence[Mapping[str, Any]]) -> None:
        """Raise ``ValueError`` if the maps do not cover the network input at the strides of the head."""
        if metas and 'batch_input_shape' in metas[0]:
            GridPyramid.from_maps(maps, self.strides).require_strides(batch_input_size(metas))

    def _pairs(self, truth: GroundTruth, grid: GridPyramid) -> GridPairs:
        return grid_pairs(truth, grid, self.center_prior.topk if self.center_prior.force_topk else 0, self.backend)

    @torch.no_grad()
    def positive_weights(
        self,
        cls_scores: Levels,
        bbox_preds: Levels,
        objectnesses: Levels,
        batch_gt_instances: Sequence[InstanceData],
        batch_img_metas: Sequence[dict],
    ) -> Levels:
        """The positive weights of each object, normalized by their maximum, (B, H, W) by level; for visualization."""
        owner, backend = type(self).__name__, self.backend
        truth = GroundTruth.from_instances(
            batch_gt_instances, batch_img_metas, self.num_classes, owner, backend=backend
        )
        grid = GridPyramid.from_maps(cls_scores, self.strides)
        pairs = self._pairs(truth, grid)
        predictions = self._predictions(grid, cls_scores, bbox_preds, objectnesses)
        batch = assignment_batch(predictions, truth, grid, pairs, backend=backend)
        weights = positive_weights(batch, self.center_prior, self.loss_bbox)
        levels = weights.split([height * width for height, width in grid.sizes], 1)
        return [level.unflatten(1, size) for level, size in zip(levels, grid.sizes, strict=True)]

    def _predictions(
        self, grid: GridPyramid, class_logits: Levels, distances_px: Levels, objectness: Levels
    ) -> GridPredictions:
        flat = [
            torch.cat([level.flatten(2) for level in levels], 2) for levels in (class_logits, distances_px, objectness)
        ]
        points = grid.points_px(flat[0].device)
        boxes = self.bbox_coder.decode(points.expand(len(flat[0]), -1, -1), flat[1].transpose(1, 2).float())
        return GridPredictions(flat[0], flat[2], boxes)

    def _log(self, truth: GroundTruth, pairs: GridPairs) -> dict[str, Tensor]:
        prior = self.center_prior
        return truth.counts() | {
            'num_pointless_boxes': (truth.valid & ~pairs.covered).sum(dtype=torch.float32),
            'prior_mean': prior.mean.detach().float().abs().mean(),
            'prior_sigma': prior.sigma.detach().float().abs().mean(),
        }

    def get_targets(
        self, points: Sequence[Tensor], batch_gt_instances: Sequence[InstanceData]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Dense tables with mmdet's names and shapes; for visualization, not used in training.

        Args:
            points: (H * W, 2) grid points of each level in pixels.
            batch_gt_instances: ``bboxes`` (n, 4) of each image.

        Returns:
            Of each image, which of the T grid points are inside which box, (T, n) bool, and the distances from the grid
            points to the sides of the boxes, (T, n, 4) in pixels.
        """
        every = torch.cat(list(points))[:, None]  # (T, 1, 2)
        distances = [
            torch.cat((every - image.bboxes[:, :2], image.bboxes[:, 2:] - every), -1) for image in batch_gt_instances
        ]
        return [(table > 0).all(-1) for table in distances], distances

    def decode(
        self, *maps: Levels, batch_img_metas: Sequence[Mapping[str, Any]], options: GridDecoding | None = None
    ) -> Detections:
        """Boxes from what :meth:`forward` returned: the whole batch at once, of fixed size, without a sync.

        Args:
            maps: Class logits, distances and objectness logits by level.
            batch_img_metas: ``img_shape`` and, if the image lies inside a border, ``border``.
            options: Used in place of ``test_cfg``.

        Raises:
            ValueError: If the strides do not fit the maps.
        """
        self._require_strides(maps[0], batch_img_metas)
        levels = [GridMaps(*level) for level in zip(*maps, strict=True)]
        grid = GridPyramid.from_maps(maps[0], self.strides)
        extent_px = image_extents(batch_img_metas, maps[0][0].device)
        decode = as_one_graph(decode_grid_points, maps[0][0], self.backend)
        return decode(levels, grid, extent_px, options or self.decoding, self.backend)

    def decode_full(self, *maps: Levels, input_size: Size) -> Detections:
        """As :meth:`decode`, for images that fill the input: a function of tensors and sizes alone, for export.

        Args:
            maps: Class logits, distances and objectness logits by level.
            input_size: (height, width) of the network input in pixels.

        Raises:
            ValueError: If the strides do not fit the maps.
        """
        levels = [GridMaps(*level) for level in zip(*maps, strict=True)]
        grid = GridPyramid.from_maps(maps[0], self.strides)
        if all(isinstance(side, int) for size in (input_size, *grid.sizes) for side in size):  # not while it is traced
            grid.require_strides(input_size)
        return decode_grid_points(levels, grid, full_extents(input_size, maps[0][0]), self.decoding, self.backend)

    def predict_by_feat(
        self,
        cls_scores: Levels,
        bbox_preds: Levels,
        score_factors: Levels,
        batch_img_metas: Sequence[Mapping[str, Any]],
        cfg: Mapping[str, Any] | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Boxes from what :meth:`forward` returned, the whole batch at once.

        Args:
            cls_scores: Class logits by level.
            bbox_preds: Distances in pixels by level.
            score_factors: Objectness logits by level.
            batch_img_metas: ``img_shape``, and as the pipeline gives them ``border``, ``ori_shape``, ``scale_factor``.
            cfg: Used in place of ``test_cfg``; a two-stage detector passes its ``rpn_proposal``. Without ``score_thr``
                or ``nms_pre`` there is no such limit, as in mmdet.
            rescale: Return boxes in pixels of the original image.
            with_nms: Apply the ``nms`` of the config, if it is not None.

        Returns:
            ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,) of each image, best first.

        Raises:
            KeyError: If a resized image lacks ``scale_factor``.
            ValueError: For a key of ``cfg`` that the decoder does not read.
        """
        options = (
            self.decoding if cfg is None else read_options(GridDecoding, NO_LIMITS | dict(cfg), type(self).__name__)
        )
        found = self.decode(cls_scores, bbox_preds, score_factors, batch_img_metas=batch_img_metas, options=options)
        nms = options.nms if with_nms else None
        return to_instances(
            found, batch_img_metas, rescale, nms, options.max_per_img, options.min_bbox_size, self.backend
        )
