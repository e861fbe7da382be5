"""What the heads with heat maps share: levels, ground truth, targets, loss and decoding templates.

Shape legend: B images, C classes, H x W cells, N boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..backends import as_one_graph, check_backend, version_of
from ..decoding.options import check_options, live_config, read_options
from ..functional.boxes import mirror_boxes
from ..functional.gaussian import draw
from ..functional.peaks import gather_cells
from ..structures import Detections, GroundTruth, MapGeometry
from ..structures.geometry import Size, batch_input_size, full_extents
from ..targets.keypoints import KeypointTargets, TargetOptions
from .postprocess import to_instances

HEAT_PRIOR = 0.1  # probability at initialization (CornerNet, section 4.1; kept by CenterNet)
STACK_REDUCTIONS = ('sum', 'mean')

Levels = list[Tensor]
Metas = Sequence[Mapping[str, Any]]
Instances = Sequence[InstanceData]


@dataclass(frozen=True)
class HeatmapOptions(TargetOptions):
    """Options of both heads, beside those of :class:`~mmdet_kpheads.targets.keypoints.TargetOptions`.

    Args:
        num_feat_levels: Feature maps that are supervised (stacks of an Hourglass); prediction uses the last.
        feat_level: With ``num_feat_levels=1``: which of several feature maps to use; None takes a single one.
        stack_reduction: ``'mean'`` of the levels' losses, as the original papers train, or ``'sum'``, as mmdet does.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``, also for losses of ours whose config sets none.

    Raises:
        ValueError: For an option out of range.
    """

    num_feat_levels: int = 1
    feat_level: int | None = None
    stack_reduction: str = 'mean'
    backend: str = 'auto'

    def __post_init__(self) -> None:
        super().__post_init__()
        check_backend(self.backend)
        if self.stack_reduction not in STACK_REDUCTIONS:
            raise ValueError(f'stack_reduction must be one of {STACK_REDUCTIONS}, but got {self.stack_reduction!r}')
        if self.num_feat_levels < 1:
            raise ValueError(f'num_feat_levels must be 1 or more, but got {self.num_feat_levels}')
        if self.feat_level is not None and self.num_feat_levels != 1:
            raise ValueError(
                f'feat_level picks one feature map: num_feat_levels must be 1, but got {self.num_feat_levels}'
            )


class HeatmapHead(BaseDenseHead):
    """Base of CenterNetHead and CornerNetHead.

    A subclass says what a level is (``level_type``), which options its decoder reads (``decoding_type``), and
    implements :meth:`targets`, :meth:`level_losses`, :meth:`log_values` and :meth:`decode_level`.

    Args:
        num_classes: C.
        options: Options of the family.
        train_cfg: Accepted for SingleStageDetector, not read.
        test_cfg: Options of the decoder. A ConfigDict stays the caller's object: a change after the build takes effect.
        init_cfg: mmengine's initialization config.

    Raises:
        ValueError: For a key of ``test_cfg`` that the decoder does not read.
    """

    level_type: ClassVar[Any]  # named tuple of a level's maps; the first is a heat map
    decoding_type: ClassVar[type]

    def __init__(
        self,
        num_classes: int,
        options: HeatmapOptions,
        train_cfg: dict | None,
        test_cfg: dict | None,
        init_cfg: dict | list | None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_classes = num_classes
        self.options = options
        self.num_feat_levels = options.num_feat_levels
        self.train_cfg = train_cfg
        self.test_cfg = live_config(test_cfg)
        check_options(self.decoding, type(self).__name__)

    @property
    def decoding(self) -> Any:
        """The decoder's options, read from ``test_cfg`` now."""
        return read_options(self.decoding_type, self.test_cfg, type(self).__name__)

    def targets(self, truth: GroundTruth, geometry: MapGeometry) -> Any:
        """What every level is trained on."""
        raise NotImplementedError

    def level_losses(self, levels: Sequence[Any], targets: Any) -> list[dict[str, Tensor]]:
        """The losses of each level."""
        raise NotImplementedError

    def decode_level(self, level: Any, geometry: MapGeometry) -> Detections:
        """Boxes from one level."""
        raise NotImplementedError

    def log_values(self, levels: Sequence[Any], targets: Any) -> dict[str, Tensor]:
        """Counts and statistics for the log, no losses."""
        raise NotImplementedError

    def supervised_features(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        """The feature maps that the head works on: all (stacks of an Hourglass), or one of a pyramid.

        Raises:
            ValueError: For another number of levels without a choice, or a choice that does not exist.
        """
        owner, levels, feat_level = type(self).__name__, len(features), self.options.feat_level
        if feat_level is not None:
            if not -levels <= feat_level < levels:
                raise ValueError(f'{owner}: feat_level {feat_level} does not exist, the features have {levels} levels')
            return [features[feat_level]]
        if levels != self.num_feat_levels:
            raise ValueError(
                f'{owner} got {levels} feature levels, configured for {self.num_feat_levels}: set '
                f'feat_level=0..{levels - 1} in the head for one map of a pyramid (0 is the finest), or '
                f'num_feat_levels={levels} for stacks of one size'
            )
        return features

    def _loss_of_batch(
        self, maps: Sequence[Levels], instances: Instances, metas: Metas, ignored: Instances | None
    ) -> dict[str, Any]:
        self._require_levels(maps)
        self._require_one_size(maps)
        owner, backend = type(self).__name__, self.options.backend
        truth = GroundTruth.from_instances(instances, metas, self.num_classes, owner, ignored, backend)
        loss = as_one_graph(type(self).loss_by_truth, maps[0][0], backend)
        return loss(self, *maps, truth=truth, input_size=batch_input_size(metas))

    def truth_and_geometry(
        self, instances: Instances, metas: Metas, heatmap: Tensor
    ) -> tuple[GroundTruth, MapGeometry]:
        """Ground truth of a batch, and how a heat map (B, C, H, W) lies over it."""
        owner, backend = type(self).__name__, self.options.backend
        truth = GroundTruth.from_instances(instances, metas, self.num_classes, owner, backend=backend)
        return truth, MapGeometry.under(heatmap, batch_input_size(metas), truth.extent_px)

    def loss_by_truth(self, *maps: Levels, truth: GroundTruth, input_size: Size) -> dict[str, Any]:
        """Losses from what ``forward`` returned and ground truth as tensors: one graph for ``torch.compile``.

        Args:
            maps: As ``forward`` returned them, a list of levels each.
            truth: Boxes of the batch.
            input_size: (height, width) of the network input in pixels.

        Returns:
            What ``loss_by_feat`` returns.
        """
        levels = [self.level_type(*level) for level in zip(*maps, strict=True)]
        heatmap = levels[0][0]
        geometry = MapGeometry.under(heatmap, input_size, truth.extent_px)
        targets = self.targets(truth, geometry)
        with torch.autocast(heatmap.device.type, enabled=False):
            by_level = self.level_losses(levels, targets)
            log = self.log_values(levels, targets)
        share = 1 / len(levels) if self.options.stack_reduction == 'mean' else 1.0
        losses = {name: [level[name] * share for level in by_level] for name in by_level[0]}
        return {**losses, **log, **truth.counts()}

    def decode(self, *maps: Levels, batch_img_metas: Metas, mirrored: bool = False) -> Detections:
        """Boxes from what ``forward`` returned, from its last level: the whole batch at once, of fixed size, no sync.

        Args:
            maps: As ``forward`` returned them, a list of levels each.
            batch_img_metas: ``batch_input_shape``, ``img_shape`` and, if the image lies inside a border, ``border``.
            mirrored: The maps are those of the mirrored input. The boxes are those of the plain one.
        """
        self._require_levels(maps)
        level = self.level_type(*(levels[-1] for levels in maps))
        decode = as_one_graph(type(self).decode_level, level[0], self.options.backend)
        geometry = MapGeometry.from_metas(batch_img_metas, level[0])
        if not mirrored:
            return decode(self, level, geometry)
        found = decode(self, level, geometry.mirror())
        return found._replace(boxes=mirror_boxes(found.boxes, geometry.input_size[1]))

    def decode_full(self, *maps: Levels, input_size: Size) -> Detections:
        """As :meth:`decode`, for images that fill the input: a function of tensors and sizes alone, for export.

        Args:
            maps: As ``forward`` returned them, a list of levels each.
            input_size: (height, width) of the network input in pixels.
        """
        level = self.level_type(*(levels[-1] for levels in maps))
        geometry = MapGeometry.under(level[0], input_size, full_extents(input_size, level[0]))
        return self.decode_level(level, geometry._replace(has_padding=False))

    def _predict_batch(self, maps: Sequence[Levels], metas: Metas, rescale: bool, with_nms: bool) -> list[InstanceData]:
        return self._to_instances(self.decode(*maps, batch_img_metas=metas), metas, rescale, with_nms)

    def _to_instances(self, found: Detections, metas: Metas, rescale: bool, with_nms: bool) -> list[InstanceData]:
        options = self.decoding
        nms = options.nms if with_nms else None
        return to_instances(found, metas, rescale, nms, options.max_per_img, backend=self.options.backend)

    def truth_of_full_images(
        self,
        boxes: Sequence[Tensor],
        labels: Sequence[Tensor],
        feat_shape: Sequence[int],
        img_shape: Sequence[int],
    ) -> tuple[GroundTruth, MapGeometry]:
        """Ground truth and geometry of images that fill the input, from the arguments of mmdet's ``get_targets``."""
        size = (img_shape[0], img_shape[1])
        sizes, owner, backend = [size] * len(boxes), type(self).__name__, self.options.backend
        truth = GroundTruth.from_tensors(boxes, labels, sizes, self.num_classes, owner, backend=backend)
        return truth, MapGeometry((feat_shape[2], feat_shape[3]), size, truth.extent_px)

    def heatmap_loss(self, loss: nn.Module, logits: Tensor, targets: KeypointTargets, divisor: Tensor) -> Tensor:
        """Heat-map loss of one map. A loss that takes Gaussians gets them before they are drawn."""
        heatmap: Any = targets.gaussians
        if not getattr(loss, 'takes_gaussians', False):
            heatmap = version_of(draw, logits, self.options.backend)(targets.gaussians)
        total: Tensor = loss(logits, heatmap, targets.weight, avg_factor=divisor)
        return total

    def _require_levels(self, maps: Sequence[Sequence[Any]]) -> None:
        """Raise ``ValueError`` unless every list of maps has as many levels, at least one."""
        lengths = [len(levels) for levels in maps]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise ValueError(
                f'{type(self).__name__} got predictions of {lengths} levels: the numbers must be equal and at least 1'
            )

    def _require_one_size(self, maps: Sequence[Sequence[Any]]) -> None:
        """Raise ``ValueError`` unless all maps of all levels have one height and width."""
        sizes = {tuple(level.shape[2:]) for levels in maps for level in levels if level is not None}
        if len(sizes) != 1:
            raise ValueError(
                f'{type(self).__name__} needs levels of one size, but got {sorted(sizes)}: set feat_level for a pyramid'
            )


def read_trained(maps: Tensor, targets: KeypointTargets, otherwise: Tensor) -> Tensor:
    """Predictions (B, N, D) of a (B, D, H, W) map at the cells that are trained, in float32.

    The rest is ``otherwise``, selected and not multiplied: a prediction that is not trained may be infinite.
    """
    return torch.where(targets.regress[..., None], gather_cells(maps, targets.cells).float(), otherwise)


def averaged(loss: nn.Module, pred: Tensor, target: Tensor, trained: Tensor, divisor: Tensor) -> Tensor:
    """Sum over what is trained, divided. mmdet's losses get no weight, for they would read it from the device.

    Raises:
        TypeError: If the loss does not return one value per number, or per box if ``trained`` (...) has one per box.
    """
    values: Tensor = loss(pred, target, reduction_override='none')
    expected = pred.shape if trained.dim() == pred.dim() else pred.shape[:-1]
    if values.shape != expected:
        raise TypeError(f'{type(loss).__name__} must return shape {tuple(expected)}, but got {tuple(values.shape)}')
    return (values * trained).sum() / divisor
