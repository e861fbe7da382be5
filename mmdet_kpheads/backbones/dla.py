"""Deep layer aggregation, DLA-34 (arXiv 1707.06484), the backbone of CenterNet's DLA models.

Shape legend: B images, H x W pixels; level l has stride 2 ** l.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS

# per level: tree depth (in levels 0 and 1 the number of convolutions) and channels; table 1 of the paper
DEPTHS = (1, 1, 1, 2, 2, 1)
CHANNELS = (16, 32, 64, 128, 256, 512)
BATCH_NORM = {'type': 'BN'}
# the authors' initialization: normal with variance 2 / (kernel area x output channels)
INIT_CFG = [
    {'type': 'Kaiming', 'layer': 'Conv2d'},
    {'type': 'Constant', 'val': 1, 'layer': ['_BatchNorm', 'GroupNorm']},
]


def _norm(norm_cfg: dict, channels: int) -> nn.Module:
    norm: nn.Module = build_norm_layer(norm_cfg, channels)[1]
    return norm


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions; unlike in ResNet, the shortcut is an input."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = _norm(norm_cfg, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = _norm(norm_cfg, out_channels)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Return (B, out, H / stride, W / stride)."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class Root(nn.Module):
    """An aggregation node: a 1 x 1 convolution over all children."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = _norm(norm_cfg, out_channels)

    def forward(self, *children: Tensor) -> Tensor:
        """Return (B, out, H, W)."""
        return F.relu(self.bn(self.conv(torch.cat(children, 1))))


class Tree(nn.Module):
    """Hierarchical aggregation: two blocks or two subtrees, joined in one root (paper, section 3.2).

    Differs from the authors' module in that a tree of trees has no ``project``: they compute it but never use it.

    Args:
        depth: 1 for two blocks.
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride of the first block.
        norm_cfg: Normalization config.
        joins_input: Pass the (pooled) input of this tree to the root.
        passed_channels: Channels of the maps that outer trees pass to the root.
    """

    def __init__(
        self,
        depth: int,
        in_channels: int,
        out_channels: int,
        stride: int,
        norm_cfg: dict,
        joins_input: bool = False,
        passed_channels: int = 0,
    ) -> None:
        super().__init__()
        self.joins_input = joins_input
        self.pool = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        passed_channels += in_channels if joins_input else 0
        self.root = self.project = None
        self.tree1: Tree | BasicBlock
        self.tree2: Tree | BasicBlock
        if depth > 1:
            self.tree1 = Tree(depth - 1, in_channels, out_channels, stride, norm_cfg)
            self.tree2 = Tree(
                depth - 1, out_channels, out_channels, 1, norm_cfg, passed_channels=passed_channels + out_channels
            )
            return
        self.tree1 = BasicBlock(in_channels, out_channels, stride, norm_cfg)
        self.tree2 = BasicBlock(out_channels, out_channels, 1, norm_cfg)
        self.root = Root(2 * out_channels + passed_channels, out_channels, norm_cfg)
        if in_channels != out_channels:
            self.project = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), _norm(norm_cfg, out_channels)
            )

    def forward(self, x: Tensor, passed: tuple[Tensor, ...] = ()) -> Tensor:
        """Return (B, out, H / stride, W / stride).

        Args:
            x: (B, in, H, W).
            passed: Maps that outer trees pass to the root.
        """
        pooled = self.pool(x)
        if self.joins_input:
            passed = (*passed, pooled)
        if self.root is None:
            first = self.tree1(x)
            out: Tensor = self.tree2(first, (*passed, first))
            return out
        first = self.tree1(x, pooled if self.project is None else self.project(pooled))
        return self.root(self.tree2(first, first), first, *passed)


@MODELS.register_module()
class DLA(BaseModule):
    """DLA-34: six levels, each half the size of the previous one.

    The parameters have the authors' names, so their ImageNet weights (dla34-ba72cf86.pth) load as ``Pretrained``. The
    classifier and two unused projections of that file are ignored.

    Args:
        channels: Channels of the six levels.
        out_indices: Levels to return; level l has stride 2 ** l.
        norm_cfg: Normalization config.
        norm_eval: Keep batch norms in evaluation mode during training, for few images per GPU.
        init_cfg: mmengine's initialization config; None for the authors' random initialization.

    Raises:
        ValueError: If there are not six channels, or a level does not exist.
    """

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        out_indices: Sequence[int] = (2, 3, 4, 5),
        norm_cfg: dict = BATCH_NORM,
        norm_eval: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg or INIT_CFG)
        self.norm_eval = norm_eval
        if len(channels) != len(DEPTHS):
            raise ValueError(f'DLA has six levels, but got channels={tuple(channels)}')
        if not out_indices or not set(out_indices) <= set(range(len(channels))):
            raise ValueError(f'out_indices must be levels from 0 to {len(channels) - 1}, but got {tuple(out_indices)}')
        self.out_indices = tuple(out_indices)
        self.base_layer = _convolutions(3, channels[0], 7, 1, norm_cfg)
        for level, (before, after, depth) in enumerate(zip((channels[0], *channels), channels, DEPTHS, strict=False)):
            stride = 1 if level == 0 else 2
            if level < 2:
                layer: nn.Module = _convolutions(before, after, 3, stride, norm_cfg, depth)
            else:
                layer = Tree(depth, before, after, stride, norm_cfg, joins_input=level > 2)
            self.add_module(f'level{level}', layer)

    def train(self, mode: bool = True) -> 'DLA':
        """Set the training mode; with ``norm_eval``, batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if self.norm_eval and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of ``out_indices``, (B, channels, H / 2 ** level, W / 2 ** level) each.

        Args:
            x: (B, 3, H, W) image.
        """
        x = self.base_layer(x)
        levels = []
        for level in range(max(self.out_indices) + 1):
            x = self.get_submodule(f'level{level}')(x)
            levels.append(x)
        return tuple(levels[level] for level in self.out_indices)


def _convolutions(
    in_channels: int, out_channels: int, kernel: int, stride: int, norm_cfg: dict, number: int = 1
) -> nn.Sequential:
    """Stack convolution, norm and ReLU ``number`` times; only the first convolution has a stride."""
    layers: list[nn.Module] = []
    for step in range(number):
        before, step_stride = (in_channels, stride) if step == 0 else (out_channels, 1)
        convolution = nn.Conv2d(before, out_channels, kernel, step_stride, kernel // 2, bias=False)
        layers += [convolution, _norm(norm_cfg, out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
