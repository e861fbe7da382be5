"""Detection ops in plain torch on the tensors' own device, or torchvision's kernels where it imports.

Pure functions that know neither mmcv nor mmdet. Half-precision inputs are computed in float32 and the result
comes back in the input's dtype.
"""

from .deform_conv import deform_conv2d
from .nms import class_nms, nms
from .roi_align import roi_align
from .soft_nms import soft_nms, soft_nms_batch

__all__ = ['class_nms', 'deform_conv2d', 'nms', 'roi_align', 'soft_nms', 'soft_nms_batch']
