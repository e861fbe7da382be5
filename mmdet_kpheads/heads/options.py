"""What the heads share in reading options and image metas."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..ground_truth import image_size


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


def single_level(features: Sequence[Tensor], feat_level: int | None, owner: str) -> Tensor:
    """The one feature map that a single-level head works on.

    Raises:
        ValueError: For several levels without a choice, or a choice that does not exist.
    """
    levels = len(features)
    if feat_level is None and levels == 1:
        return features[0]
    if feat_level is None:
        raise ValueError(
            f'{owner} got {levels} feature levels, configured for 1: set feat_level=0..{levels - 1} in the head '
            '(0 is the finest), or give the neck one output'
        )
    if not -levels <= feat_level < levels:
        raise ValueError(f'{owner}: feat_level {feat_level} does not exist, the features have {levels} levels')
    return features[feat_level]


def require_one_level(owner: str, *maps: Sequence[Tensor]) -> None:
    """Raise ``ValueError`` unless every list of maps holds one level."""
    lengths = [len(levels) for levels in maps]
    if set(lengths) != {1}:
        raise ValueError(f'{owner} got predictions of {lengths} levels, configured for 1 each')


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
