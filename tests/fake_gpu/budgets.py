"""What the heads may cost on a device: an upper bound for each scene. Lower one when the code gets better.

80 classes, 20 boxes per image; CenterNet and CornerNet 32 images of 512 x 512, AutoAssign 8 of 800 x 1088. The floor of
the bytes is one reading of each map and one writing of its gradient: 176 MB for CenterNet and 348 MB for CornerNet in
bf16, 99 MB for AutoAssign in fp32. Compiled scenes differ between versions of torch: the bound is that of the
costlier one, 2.13 or 2.14.
"""

from typing import NamedTuple


class Budget(NamedTuple):
    """Upper bounds; ``reads`` names every wait of the host."""

    launches: int
    moved_mb: int  # 10^6 bytes that kernels read and write
    peak_mb: int  # 10^6 bytes at once
    all_reduce: int
    reads: tuple[str, ...] = ()


RESULTS = ('_to_copy to the host in heads/postprocess.py',)  # how many boxes each image has
PAIRS = ('_local_scalar_dense in targets/grid_pairs.py',)  # how many pairs of a grid point and an object there are

BUDGETS = {
    'centernet loss fp32': Budget(267, 11551, 1225, 1),
    'centernet step fp32': Budget(285, 16737, 1796, 1),
    'centernet decode fp32': Budget(80, 4317, 514, 0),
    'centernet predict fp32': Budget(92, 4318, 514, 0, RESULTS),
    'centernet loss bf16': Budget(273, 12042, 1221, 1),
    'centernet loss bf16 compiled': Budget(47, 253, 89, 1),
    'centernet step bf16': Budget(291, 14635, 1506, 1),
    'centernet decode bf16': Budget(84, 2631, 257, 0),
    'centernet decode bf16 compiled': Budget(7, 146, 46, 0),
    'centernet predict bf16': Budget(96, 2632, 257, 0, RESULTS),
    'centernet loss bf16 compiled, 1000 boxes': Budget(63, 290, 92, 1),
    'cornernet loss fp32': Budget(550, 23090, 2110, 1),
    'cornernet step fp32': Budget(680, 102724, 12378, 1),
    'cornernet decode fp32': Budget(182, 8696, 514, 0),
    'cornernet predict fp32': Budget(191, 8700, 514, 0, RESULTS),
    'cornernet loss bf16': Budget(561, 24078, 2104, 1),
    'cornernet loss bf16 compiled': Budget(86, 505, 178, 1),
    'cornernet step bf16': Budget(691, 66042, 8312, 1),
    'cornernet decode bf16': Budget(190, 5324, 258, 0),
    'cornernet decode bf16 compiled': Budget(18, 304, 48, 0),
    'cornernet predict bf16': Budget(199, 5327, 258, 0, RESULTS),
    'cornernet loss bf16 compiled, 1000 boxes': Budget(108, 617, 182, 1),
    'autoassign loss fp32': Budget(590, 6297, 843, 1, PAIRS),
    'autoassign loss fp32 compiled': Budget(91, 436, 172, 1, PAIRS),
    'autoassign step fp32': Budget(1042, 26131, 3232, 1, PAIRS),
    'autoassign decode fp32': Budget(400, 500, 92, 0),
    'autoassign decode fp32 compiled': Budget(26, 170, 44, 0),
    'autoassign loss bf16': Budget(601, 6322, 843, 1, PAIRS),
    'autoassign step bf16': Budget(1068, 16262, 2044, 1, PAIRS),
    'autoassign decode bf16': Budget(414, 435, 77, 0),
    'soft-NMS fp32': Budget(3111, 866, 3, 0),
    'soft-NMS fp32 compiled': Budget(6, 2, 2, 0),
}
