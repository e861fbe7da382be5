"""Iterative upsampling of a DLA backbone (arXiv 1707.06484, section 3.1), as used in CenterNet (1904.07850).

Shape legend: B images, h x w cells of the finest map.
"""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS

BATCH_NORM = {'type': 'BN'}


def bilinear_upsampling(channels: int, factor: int) -> nn.ConvTranspose2d:
    """Build a depthwise transposed convolution that is initialized to bilinear interpolation."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    position = (torch.arange(2 * factor) + 0.5) / factor - 1  # of the taps, in cells of the coarse map
    tent = 1 - position.abs()
    with torch.no_grad():
        layer.weight.copy_(torch.outer(tent, tent).expand_as(layer.weight))
    return layer


class IterativeUp(nn.Module):
    """Upsamples maps to the size and channels of the first one and joins them one by one (IDA).

    The first map is used unchanged. Each further map is projected, upsampled and joined to the result so far by a
    3 x 3 convolution. As in the authors' two models, deformable convolutions take the sum, plain ones the
    concatenation.

    Args:
        in_channels: Channels of the maps, finest first.
        factors: Upsampling factor of each map; 1 for the first.
        deformable: Use deformable convolutions (version 2).
        norm_cfg: Normalization config.
    """

    def __init__(self, in_channels: Sequence[int], factors: Sequence[int], deformable: bool, norm_cfg: dict) -> None:
        super().__init__()
        self.deformable = deformable
        channels = in_channels[0]
        conv_cfg = {'type': 'DCNv2'} if deformable else None
        kernel, joined = (3, channels) if deformable else (1, 2 * channels)
        self.proj, self.up, self.node = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for before, factor in zip(in_channels[1:], factors[1:], strict=True):
            project = ConvModule(before, channels, kernel, padding=kernel // 2, conv_cfg=conv_cfg, norm_cfg=norm_cfg)
            self.proj.append(project if deformable or before != channels else nn.Identity())
            self.up.append(bilinear_upsampling(channels, factor) if factor > 1 else nn.Identity())
            self.node.append(ConvModule(joined, channels, 3, padding=1, conv_cfg=conv_cfg, norm_cfg=norm_cfg))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the result of each join, (B, channels, h, w) each."""
        x, joins = maps[0], []
        for coarse, project, up, node in zip(maps[1:], self.proj, self.up, self.node, strict=True):
            fine = up(project(coarse))
            x = node(x + fine if self.deformable else torch.cat((x, fine), 1))
            joins.append(x)
        return joins


@MODELS.register_module()
class DLAUp(BaseModule):
    """The neck of CenterNet with DLA-34: one map with the stride of the finest input.

    Each stage of ``dla_up`` upsamples the coarser maps to the size of the next finer one. With deformable
    convolutions, ``ida_up`` then joins the results of all stages, finest first.

    Source: the two models of CenterNet's repository, ``dla_34`` (deformable) and ``dlav0_34`` (plain).

    Differs from the authors' modules: no bias in front of a normalization, where it has no effect.

    Args:
        in_channels: Channels of the maps, finest first; each map is half the size of the previous one.
        deformable: Use deformable convolutions (version 2).
        norm_cfg: Normalization config.
        init_cfg: mmengine's initialization config.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deformable: bool = False,
        norm_cfg: dict = BATCH_NORM,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) < 2:
            raise ValueError(f'DLAUp needs at least two maps, but in_channels is {tuple(in_channels)}')
        self.in_channels = tuple(in_channels)
        self.dla_up = nn.ModuleList()
        channels, factors = list(in_channels), [2**level for level in range(len(in_channels))]
        for start in range(len(channels) - 2, -1, -1):
            relative = [factor // factors[start] for factor in factors[start:]]
            self.dla_up.append(IterativeUp(channels[start:], relative, deformable, norm_cfg))
            for level in range(start + 1, len(channels)):  # the stage has upsampled these
                channels[level], factors[level] = channels[start], factors[start]
        self.ida_up = None
        if deformable:
            powers = [2**level for level in range(len(in_channels) - 1)]
            self.ida_up = IterativeUp(in_channels[:-1], powers, deformable, norm_cfg)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        """Return one map, (B, in_channels[0], h, w).

        Args:
            features: Maps of the backbone, finest first.

        Raises:
            ValueError: If there are more or fewer maps than ``in_channels``.
        """
        if len(features) != len(self.in_channels):
            raise ValueError(f'DLAUp got {len(features)} maps, configured for in_channels={self.in_channels}')
        maps = list(features)
        finest: list[Tensor] = []
        for start, stage in zip(range(len(maps) - 2, -1, -1), self.dla_up, strict=True):
            maps[start + 1 :] = stage(maps[start:])
            finest.insert(0, maps[-1])
        return (finest[0] if self.ida_up is None else self.ida_up(finest)[-1],)
