"""Everything between pixels of the network input and cells of the maps over it.

Two kinds of location: a *cell* of a heat map covers an area, ``[x, x + 1)`` in cells. A *grid point* of a feature
pyramid (FCOS, AutoAssign) is the single position ``cell * stride``. Targets and decoding use the same functions.

Shape legend: B images, N boxes, H x W cells of a map, L levels of a pyramid, T grid points of all levels.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import KpheadsWarning
from ..functional.boxes import mirror_boxes

NO_EXTENT = (  # one text for every value: Python shows equal warnings once
    'border must be (top, bottom, left, right) of the image inside the network input in pixels, but has no area: only '
    'its top and left are used, and the image is taken to end at img_shape; drop the key if the image has no border'
)

Size = tuple[int, int]  # height, width
MAX_MISSING_CELLS = 1  # of a map: backbones round up or down
Meta = Mapping[str, Any]


class MapGeometry(NamedTuple):
    """How a map lies over the network input, and where in the input each image is."""

    map_size: Size  # (H, W) in cells
    input_size: Size  # in pixels; the map covers all of it
    extent_px: Tensor  # (B, 4) xyxy: the image inside the input
    has_padding: bool = True  # False if the host knows that every image fills the input
    is_mirrored: bool = False  # whether the network got the mirror image of the input

    @classmethod
    def under(cls, heatmap: Tensor, input_size: Size, extent_px: Tensor) -> 'MapGeometry':
        """The geometry of a map (B, C, H, W) over images (B, 4) in the network input."""
        return cls((heatmap.shape[2], heatmap.shape[3]), input_size, extent_px)

    @classmethod
    def from_metas(cls, metas: Sequence[Meta], heatmap: Tensor) -> 'MapGeometry':
        """The geometry of a map (B, C, H, W) over a batch.

        Args:
            metas: ``batch_input_shape``, ``img_shape`` and, if the image lies inside a border, ``border``.
            heatmap: Any map of the right size on the right device.
        """
        input_size = batch_input_size(metas)
        # What surrounds a border is part of the image: the test pipelines of keypoint detectors put it there.
        has_padding = any('border' not in meta and image_size(meta) != input_size for meta in metas)
        extent_px = image_extents(metas, heatmap.device)
        return cls((heatmap.shape[2], heatmap.shape[3]), input_size, extent_px, has_padding)

    def mirror(self) -> 'MapGeometry':
        """The geometry of the same map over the mirror image of the input."""
        extent_px = mirror_boxes(self.extent_px, self.input_size[1])
        return self._replace(extent_px=extent_px, is_mirrored=not self.is_mirrored)

    def to_cells(self, px: Tensor) -> Tensor:
        """Positions (..., 2) or boxes (..., 4) from pixels to cells."""
        (height, width), (input_height, input_width) = self.map_size, self.input_size
        return px * _xy(width / input_width, height / input_height, px)

    def to_px(self, cells: Tensor) -> Tensor:
        """Positions (..., 2) or boxes (..., 4) from cells to pixels."""
        return cells * _xy(*self._cell_size(), cells)

    def valid_cells(self) -> Tensor | None:
        """Cells that are not wholly in the padding right of or below the image; (B, 1, H, W) bool, None for all.

        In a mirrored input the padding is to the left of the image.
        """
        if not self.has_padding:
            return None
        plain = self.mirror() if self.is_mirrored else self
        columns, rows = plain._columns_and_rows()
        valid = (rows[:, :, None] & columns[:, None, :])[:, None]
        return valid.flip(-1) if self.is_mirrored else valid

    def last_cell(self) -> Tensor:
        """The last cell that :meth:`valid_cells` allows; (B, 2) int64 as x, y."""
        return torch.stack([axis.sum(1) for axis in self._columns_and_rows()], -1).sub_(1).clamp_(min=0)

    def touched_cells(self, boxes_px: Tensor, valid: Tensor) -> Tensor:
        """Cells that overlap any of the valid boxes.

        Args:
            boxes_px: (B, N, 4).
            valid: (B, N) bool.

        Returns:
            (B, 1, H, W) bool.
        """
        left, top = self._cell_edges(boxes_px)
        cell_width, cell_height = self._cell_size()
        x1, y1, x2, y2 = boxes_px[..., None].unbind(2)  # (B, N, 1) each
        columns = (left + cell_width > x1) & (left < x2) & valid[..., None]  # (B, N, W)
        rows = (top + cell_height > y1) & (top < y2)  # (B, N, H)
        return _any_rectangle(rows, columns)[:, None]

    def _columns_and_rows(self) -> tuple[Tensor, Tensor]:
        """Columns (B, W) and rows (B, H) that begin left of and above the far sides of the image."""
        left, top = self._cell_edges(self.extent_px)
        return left < self.extent_px[:, 2:3], top < self.extent_px[:, 3:4]

    def _cell_edges(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Left edges (W,) and top edges (H,) of the cells, in pixels."""
        (height, width), (cell_width, cell_height) = self.map_size, self._cell_size()
        left = torch.arange(width, device=like.device) * cell_width
        return left, torch.arange(height, device=like.device) * cell_height

    def _cell_size(self) -> tuple[float, float]:
        """Width and height of a cell in pixels."""
        return self.input_size[1] / self.map_size[1], self.input_size[0] / self.map_size[0]


class GridPyramid(NamedTuple):
    """The grid points of a feature pyramid: ``cell * stride`` in pixels, level by level and row by row."""

    sizes: tuple[Size, ...]  # of each level in cells
    strides: tuple[int, ...]  # pixels per cell of each level

    @classmethod
    def from_maps(cls, maps: Sequence[Tensor], strides: Sequence[int]) -> 'GridPyramid':
        """The grid of one map (B, C, H, W) per level."""
        return cls(tuple((level.shape[2], level.shape[3]) for level in maps), tuple(strides))

    def require_strides(self, input_size: Size) -> None:
        """Check that each level covers the network input (height, width) at its stride, to one cell.

        Raises:
            ValueError: If a level does not.
        """
        for size, stride in zip(self.sizes, self.strides, strict=True):
            if any(
                abs(cells - side / stride) > MAX_MISSING_CELLS for cells, side in zip(size, input_size, strict=True)
            ):
                raise ValueError(
                    f'strides {self.strides} do not fit the feature maps: a map of {size} cells over an input of '
                    f'{tuple(input_size)} pixels has not stride {stride}; the head needs the strides of the neck'
                )

    @property
    def starts(self) -> tuple[int, ...]:
        """Index of the first grid point of each level, and T at the end."""
        starts = [0]
        for height, width in self.sizes:
            starts.append(starts[-1] + height * width)
        return tuple(starts)

    def points_px(self, device: torch.device) -> Tensor:
        """(T, 2) float32 as x, y."""
        cells = [torch.arange(height * width, device=device) for height, width in self.sizes]
        return torch.cat([self.points_at(level, of_level) for level, of_level in enumerate(cells)])

    def points_at(self, level: int, cells: Tensor) -> Tensor:
        """Positions in pixels of flat cells (...) of a level: (..., 2) as x, y."""
        return cells_to_xy(cells, self.sizes[level][1]) * float(self.strides[level])

    def stride_px(self, device: torch.device) -> Tensor:
        """Stride of the level of each grid point, (T,) float32."""
        levels = [
            torch.full((height * width,), float(stride), device=device)
            for (height, width), stride in zip(self.sizes, self.strides, strict=True)
        ]
        return torch.cat(levels)

    def inside_image(self, extent_px: Tensor) -> list[Tensor]:
        """Grid points inside each image (B, 4), its right and lower side excluded: (B, 1, H, W) bool by level."""
        x1, y1, x2, y2 = extent_px[..., None].unbind(1)  # (B, 1) each
        levels = []
        for x, y in self._axes(extent_px.device):
            columns, rows = (x >= x1) & (x < x2), (y >= y1) & (y < y2)  # (B, W), (B, H)
            levels.append((rows[:, :, None] & columns[:, None])[:, None])
        return levels

    def inside_boxes(self, boxes_px: Tensor, valid: Tensor) -> Tensor:
        """Grid points strictly inside any of the valid boxes (B, N, 4): (B, T) bool."""
        x1, y1, x2, y2 = boxes_px[..., None].unbind(2)  # (B, N, 1) each
        levels = []
        for x, y in self._axes(boxes_px.device):
            columns, rows = (x > x1) & (x < x2) & valid[..., None], (y > y1) & (y < y2)  # (B, N, W), (B, N, H)
            levels.append(_any_rectangle(rows, columns).flatten(1))
        return torch.cat(levels, 1)

    def _axes(self, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """X (W,) and y (H,) of the grid points of each level, in pixels."""
        return [
            (torch.arange(width, device=device) * float(stride), torch.arange(height, device=device) * float(stride))
            for (height, width), stride in zip(self.sizes, self.strides, strict=True)
        ]


def cells_to_xy(cells: Tensor, width: int) -> Tensor:
    """Flat cell indices ``y * width + x`` (...) as (..., 2), x and y."""
    return torch.stack((cells % width, cells // width), -1)


def grid_points_between(low_px: Tensor, high_px: Tensor, stride_px: Tensor, num_cells: Tensor) -> tuple[Tensor, Tensor]:
    """The grid points of one axis with ``low < cell * stride < high``: first cell and count, int64."""
    first, last = (low_px / stride_px).floor(), (high_px / stride_px).ceil()
    first = first + (first * stride_px <= low_px).float()
    last = torch.minimum(last - (last * stride_px >= high_px).float(), num_cells - 1)
    first = first.clamp(min=0)
    return first.long(), (last - first + 1).clamp(min=0).long()


def batch_input_size(metas: Sequence[Meta]) -> Size:
    """Height and width of the network input, in pixels."""
    height, width = metas[0]['batch_input_shape'][:2]
    return height, width


def image_size(meta: Meta) -> Size:
    """Height and width of an image inside the network input, in pixels: ``img_shape``, else the whole input."""
    height, width = meta['img_shape' if 'img_shape' in meta else 'batch_input_shape'][:2]
    return height, width


def image_extents(metas: Iterable[Meta], device: torch.device) -> Tensor:
    """Where each image lies in the network input, (B, 4) xyxy pixels: its ``border`` if it has one, else its shape.

    A ``border`` (top, bottom, left, right) without area gives only the top and left margins, as mmdet reads it; the far
    sides are those of the shape. One warning says so.
    """
    rows = []
    for meta in metas:
        height, width = image_size(meta)
        top, bottom, left, right = (float(side) for side in meta.get('border', (0, height, 0, width)))
        if bottom <= top or right <= left:
            warnings.warn(NO_EXTENT, KpheadsWarning, stacklevel=1)  # one place for all callers
            bottom, right = float(height), float(width)
        rows.append((left, top, right, bottom))
    return to_device(torch.tensor(rows), device)


def full_extents(input_size: Size, like: Tensor) -> Tensor:
    """The extent of images that fill the input, (B, 4), for a map (B, ...); an exported graph keeps sizes variable."""
    height, width = (torch.scalar_tensor(side, device=like.device) for side in input_size)
    zero = torch.zeros_like(width)
    return torch.stack((zero, zero, width, height)).expand(like.shape[0], 4)


def scale_factors(metas: Iterable[Meta], device: torch.device) -> Tensor:
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
    return to_device(torch.tensor(rows), device)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a small host tensor to a device without waiting for it."""
    return values.to(device, non_blocking=True)


def _xy(x: float, y: float, like: Tensor) -> Tensor | float:
    """A factor for x and y, (2,), or for xyxy, (4,); a number if both are equal, which needs no copy to the device."""
    if x == y:
        return x
    return to_device(torch.tensor((x, y) * (like.shape[-1] // 2)), like.device)


def _any_rectangle(rows: Tensor, columns: Tensor) -> Tensor:
    """Cells in the rectangle of any box, from rows (B, N, H) and columns (B, N, W): (B, H, W) bool."""
    return rows.float().transpose(1, 2) @ columns.float() > 0
