"""The pooling block of a corner branch: CornerNet, arXiv 1808.01244, figure 7."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..backends import version_of
from ..ops.corner_pool import corner_pool

BATCH_NORM = {'type': 'BN', 'requires_grad': True}
POOL_CHANNELS = 128  # CornerNet's models/py_utils/kp.py


class CornerPoolBlock(BaseModule):
    """Two convolutions pooled in two directions, added, and joined with a shortcut.

    Parameter names are those of mmdet's ``BiCornerPool``.

    Args:
        in_channels: Channels of the input.
        directions: The two pooling directions, e.g. ``('top', 'left')``.
        out_channels: Channels of the output.
        feat_channels: Channels to pool.
        norm_cfg: Normalization of every convolution.
        backend: One of ``mmdet_kpheads.backends.BACKENDS``.
    """

    def __init__(
        self,
        in_channels: int,
        directions: Sequence[str],
        out_channels: int,
        feat_channels: int,
        norm_cfg: dict,
        backend: str,
    ) -> None:
        super().__init__()
        self.backend = backend
        self.directions = tuple(directions)
        self.direction1_conv = ConvModule(in_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg)
        self.direction2_conv = ConvModule(in_channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg)
        self.aftpool_conv = ConvModule(feat_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.conv1 = ConvModule(in_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.conv2 = ConvModule(in_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        first, second = self.directions
        pool = version_of(corner_pool, x, self.backend)
        pooled = pool(self.direction1_conv(x), first) + pool(self.direction2_conv(x), second)
        joined: Tensor = self.conv2(self.relu(self.aftpool_conv(pooled) + self.conv1(x)))
        return joined
