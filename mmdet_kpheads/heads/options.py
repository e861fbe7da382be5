"""What the heads share in reading options and image metas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..ground_truth import image_size

STACK_REDUCTIONS = ('sum', 'mean')


def read_test_cfg(cfg: Mapping[str, Any] | None, defaults: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """``defaults`` updated with ``cfg``.

    Raises:
        ValueError: For a key that the head does not read.
    """
    given = dict(cfg or {})
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f'test_cfg of {owner}: unknown {unknown}; it reads {sorted(defaults)}')
    return {**defaults, **given}


def check_levels(num_feat_levels: int, feat_level: int | None, stack_reduction: str) -> None:
    """Raise ``ValueError`` for options of a head's levels that do not exist or do not go together."""
    if stack_reduction not in STACK_REDUCTIONS:
        raise ValueError(f'stack_reduction must be one of {STACK_REDUCTIONS}, but got {stack_reduction!r}')
    if num_feat_levels < 1:
        raise ValueError(f'num_feat_levels must be 1 or more, but got {num_feat_levels}')
    if feat_level is not None and num_feat_levels != 1:
        raise ValueError(f'feat_level picks one feature map: num_feat_levels must be 1, but got {num_feat_levels}')


def supervised_levels(
    features: Sequence[Tensor], num_feat_levels: int, feat_level: int | None, owner: str
) -> Sequence[Tensor]:
    """The feature maps that a heat-map head works on: all (stacks of an Hourglass), or one of a pyramid.

    Raises:
        ValueError: For another number of levels without a choice, or a choice that does not exist.
    """
    levels = len(features)
    if feat_level is not None:
        if not -levels <= feat_level < levels:
            raise ValueError(f'{owner}: feat_level {feat_level} does not exist, the features have {levels} levels')
        return [features[feat_level]]
    if levels != num_feat_levels:
        raise ValueError(
            f'{owner} got {levels} feature levels, configured for {num_feat_levels}: set feat_level=0..{levels - 1} in '
            f'the head for one map of a pyramid (0 is the finest), or num_feat_levels={levels} for stacks of one size'
        )
    return features


def require_same_levels(owner: str, *maps: Sequence[Tensor]) -> None:
    """Raise ``ValueError`` unless every list of maps holds as many levels as the first, at least one."""
    lengths = [len(levels) for levels in maps]
    if len(set(lengths)) != 1 or not lengths[0]:
        raise ValueError(f'{owner} got predictions of {lengths} levels: they must be as many of each')


def require_same_shape(owner: str, heats: Sequence[Tensor]) -> None:
    """Raise ``ValueError`` unless the heat maps of all levels have one shape."""
    shapes = {tuple(heat.shape) for heat in heats}
    if len(shapes) != 1:
        raise ValueError(f'{owner} needs levels of one size, but got {sorted(shapes)}: set feat_level for a pyramid')


def level_share(levels: int, stack_reduction: str) -> float:
    """Factor of each level's losses."""
    return 1 / levels if stack_reduction == 'mean' else 1.0


def image_extents(metas: Iterable[Mapping[str, Any]], device: torch.device) -> Tensor:
    """Where each image lies in the network input, (B, 4) xyxy pixels: its ``border`` if it has one, else its shape."""
    rows = []
    for meta in metas:
        if 'border' in meta:
            top, bottom, left, right = (float(side) for side in meta['border'])
            rows.append((left, top, right, bottom))
        else:
            height, width = image_size(meta)
            rows.append((0.0, 0.0, float(width), float(height)))
    return torch.tensor(rows).to(device, non_blocking=True)


def rescale_factors(metas: Iterable[Mapping[str, Any]], device: torch.device) -> Tensor:
    """Input pixels per original pixel of each image, (B, 2) as x, y.

    Raises:
        KeyError: If a resized image lacks ``scale_factor``.
    """
    rows = []
    for meta in metas:
        if 'scale_factor' in meta:
            rows.append(tuple(float(factor) for factor in meta['scale_factor'][:2]))
            continue
        same = 'ori_shape' not in meta or tuple(meta['img_shape'][:2]) == tuple(meta['ori_shape'][:2])
        if 'border' not in meta and not same:
            raise KeyError(
                f'scale_factor: the image was resized from {tuple(meta["ori_shape"])} to {tuple(meta["img_shape"])}, '
                'but its meta lacks this key; add it to meta_keys of PackDetInputs'
            )
        rows.append((1.0, 1.0))
    return torch.tensor(rows).to(device, non_blocking=True)


def valid_cells(extent_px: Tensor, map_size: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
    """Cells that touch the image, (B, 1, H, W) bool: none lies wholly in the padding on the right or below."""
    height, width = map_size
    left_px = torch.arange(width, device=extent_px.device) * (input_size[1] / width)
    top_px = torch.arange(height, device=extent_px.device) * (input_size[0] / height)
    columns, rows = left_px < extent_px[:, 2:3], top_px < extent_px[:, 3:4]  # (B, W), (B, H)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def image_frame(metas: Sequence[Mapping[str, Any]], heat: Tensor) -> tuple[tuple[int, int], Tensor, Tensor | None]:
    """How a heat map (B, C, H, W) lies over the images of a batch.

    Returns:
        Size of the network input (height, width) in pixels; the images in it, (B, 4) xyxy; the cells that touch them,
        (B, 1, H, W) bool, or None where no image was padded for the batch.
    """
    input_size = tuple(metas[0]['batch_input_shape'])
    extent_px = image_extents(metas, heat.device)
    padded = any('border' not in meta and image_size(meta) != input_size for meta in metas)
    cells = valid_cells(extent_px, (heat.shape[2], heat.shape[3]), input_size) if padded else None
    return input_size, extent_px, cells
