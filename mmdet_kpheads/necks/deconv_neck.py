"""A neck of transposed convolutions: Simple Baselines for Human Pose Estimation, arXiv 1804.06208."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..registry import MODELS

BATCH_NORM = {'type': 'BN'}
KERNEL, STRIDE, PADDING = 4, 2, 1  # section 2: doubles the size


@MODELS.register_module()
class DeconvNeck(BaseModule):
    """Three transposed convolutions of 256 channels, the neck of ``res_18`` and ``res_101`` of CenterNet.

    mmdet's CTResNetNeck, the neck of ``resdcn_*``, has a 3 x 3 convolution in front of each.

    Args:
        in_channels: Channels of the last feature map; the neck uses no other.
        channels: Output channels of each transposed convolution.
        norm_cfg: Normalization config.
        init_cfg: mmengine's initialization config.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (256, 256, 256),
        norm_cfg: dict = BATCH_NORM,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg or {'type': 'Normal', 'layer': 'ConvTranspose2d', 'std': 0.001})  # section 3
        steps = zip((in_channels, *channels), channels, strict=False)
        self.deconv_layers = nn.Sequential(
            *(
                ConvModule(before, after, KERNEL, STRIDE, PADDING, conv_cfg={'type': 'deconv'}, norm_cfg=norm_cfg)
                for before, after in steps
            )
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        """Return one map, (B, channels[-1], 8 h, 8 w) for three transposed convolutions.

        Args:
            features: Maps of the backbone; only the last one, (B, in_channels, h, w), is used.
        """
        return (self.deconv_layers(features[-1]),)
