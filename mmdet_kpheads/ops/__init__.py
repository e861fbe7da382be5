"""Detection ops in plain torch that run on any device and use torchvision's kernels where available.

The functions are pure and depend on neither mmcv nor mmdet. Half-precision inputs are computed in float32, and the
result has the dtype of the input.
"""

from .deform_conv import deform_conv2d
from .nms import class_nms, nms
from .roi_align import roi_align
from .soft_nms import soft_nms, soft_nms_batch

__all__ = ['class_nms', 'deform_conv2d', 'nms', 'roi_align', 'soft_nms', 'soft_nms_batch']
