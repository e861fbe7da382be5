"""Iterative up-sampling of a DLA backbone: arXiv 1707.06484 section 3.1, as CenterNet (1904.07850) uses it.

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
    """A transposed convolution of each channel by itself that starts as bilinear interpolation."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, stride=factor, padding=factor // 2, groups=channels, bias=False
    )
    position = (torch.arange(2 * factor) + 0.5) / factor - 1  # of each tap, in cells of the coarse map
    tent = 1 - position.abs()
    with torch.no_grad():
        layer.weight.copy_(torch.outer(tent, tent).expand_as(layer.weight))
    return layer


class IterativeUp(nn.Module):
    """Brings maps to the first one's size and width, and joins them one after the other (IDA).

    Map 0 is taken as it is. Each further one is projected, up-sampled and joined to what came before by a 3 x 3
    convolution: deformable ones work on the sum, plain ones on both maps side by side, as the authors' two models do.

    Args:
        in_channels: Channels of the maps, finest first.
        factors: How much smaller each map is than the first.
        deformable: Use deformable convolutions (version 2).
        norm_cfg: Normalization.
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
        """What each join gives, (B, channels, h, w) each."""
        x, joins = maps[0], []
        for coarse, project, up, node in zip(maps[1:], self.proj, self.up, self.node, strict=True):
            fine = up(project(coarse))
            x = node(x + fine if self.deformable else torch.cat((x, fine), 1))
            joins.append(x)
        return joins


@MODELS.register_module()
class DLAUp(BaseModule):
    """The neck of CenterNet with DLA-34: one map with the stride of the finest input.

    Stage by stage the coarser maps are brought to the size of the next finer one (``dla_up``); with deformable
    convolutions the finest map of each stage but the first is joined once more (``ida_up``).

    Source: the two models of CenterNet's repository, ``dla_34`` (deformable) and ``dlav0_34`` (plain).

    Differs from the authors' modules: no bias in front of a normalization, where it has no effect.

    Args:
        in_channels: Channels of the maps, finest first, each half as large as the one before.
        deformable: Use deformable convolutions (version 2).
        norm_cfg: Normalization.
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
            raise ValueError(f'DLAUp joins two maps or more, but in_channels is {tuple(in_channels)}')
        self.in_channels = tuple(in_channels)
        self.dla_up = nn.ModuleList()
        channels, factors = list(in_channels), [2**level for level in range(len(in_channels))]
        for start in range(len(channels) - 2, -1, -1):
            relative = [factor // factors[start] for factor in factors[start:]]
            self.dla_up.append(IterativeUp(channels[start:], relative, deformable, norm_cfg))
            for level in range(start + 1, len(channels)):  # now of this size and width
                channels[level], factors[level] = channels[start], factors[start]
        self.ida_up = None
        if deformable:
            powers = [2**level for level in range(len(in_channels) - 1)]
            self.ida_up = IterativeUp(in_channels[:-1], powers, deformable, norm_cfg)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        """One map, (B, in_channels[0], h, w).

        Args:
            features: Maps of the backbone, finest first.

        Raises:
            ValueError: If their number is not that of ``in_channels``.
        """
        if len(features) != len(self.in_channels):
            raise ValueError(f'DLAUp got {len(features)} maps, configured for in_channels={self.in_channels}')
        maps = list(features)
        finest: list[Tensor] = []
        for start, stage in zip(range(len(maps) - 2, -1, -1), self.dla_up, strict=True):
            maps[start + 1 :] = stage(maps[start:])
            finest.insert(0, maps[-1])
        return (finest[0] if self.ida_up is None else self.ida_up(finest)[-1],)
