"""What torch computes in another way from one version on, and code here has to follow."""

import torch
from torch.torch_version import TorchVersion

# The slope of clamp where its argument equals the bound: 1 before, 0 from then on.
CLAMP_STOPS_AT_ITS_BOUND = TorchVersion(torch.__version__) >= '2.14'
