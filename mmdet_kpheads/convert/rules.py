"""How the parameters of other repositories are called here: one list of rules a model, read from top to bottom.

A rule is a pattern that must match a whole name, and what the name becomes; None leaves the tensor out.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

Rename = str | Callable[[re.Match], str] | None
Rule = tuple[str, Rename]


class Source(NamedTuple):
    """One model of another repository.

    Attributes:
        name: How the report calls it.
        marks: Patterns; a checkpoint is of this source if each matches some name.
        rules: What its names become.
        folds_biases: Its convolutions have a bias in front of a batch norm where ours have none.
    """

    name: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    folds_biases: bool = False


def _less(template: str, first: int = 1) -> Callable[[re.Match], str]:
    """Fill a template with the groups; its ``n`` is the group ``n`` counted from 0, theirs begin with ``first``."""
    return lambda match: template.format(**{**match.groupdict(), 'n': int(match['n']) - first})


def _every(step: int, template: str) -> Callable[[re.Match], str]:
    """Fill a template with the groups, its ``n`` with the group ``n`` divided: a layer is ``step`` entries there."""
    return lambda match: template.format(**{**match.groupdict(), 'n': int(match['n']) // step})


# ---- xingyizhou/CenterNet ----

CENTERNET_OUTPUTS = {'hm': 'heatmap_head', 'wh': 'wh_head', 'reg': 'offset_head'}
CENTERNET_HEAD: tuple[Rule, ...] = tuple(
    (rf'{theirs}\.([02])\.(weight|bias)', rf'bbox_head.{ours}.\1.\2') for theirs, ours in CENTERNET_OUTPUTS.items()
)
DLA_BACKBONE: tuple[Rule, ...] = (
    (r'base\.fc\..*', None),  # the classifier
    (r'base\.level[34]\.project\..*', None),  # computed by their forward and never used
    (r'base\.(.*)', r'backbone.\1'),
)
DEFORMABLE_LAYERS: tuple[Rule, ...] = tuple(
    rule
    for stage, ours in ((r'dla_up\.ida_(?P<i>\d)', 'neck.dla_up.{i}'), ('ida_up', 'neck.ida_up'))
    for rule in (
        (rf'{stage}\.up_(?P<n>\d)\.weight', _less(f'{ours}.up.{{n}}.weight')),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.conv\.conv_offset_mask\.(?P<leaf>\w+)',
            _less(f'{ours}.{{part}}.{{n}}.conv.conv_offset.{{leaf}}'),
        ),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.conv\.(?P<leaf>weight|bias)',
            _less(f'{ours}.{{part}}.{{n}}.conv.{{leaf}}'),
        ),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.actf\.0\.(?P<leaf>\w+)',
            _less(f'{ours}.{{part}}.{{n}}.bn.{{leaf}}'),
        ),
    )
)
PLAIN_LAYERS: tuple[Rule, ...] = (
    (r'dla_up\.ida_(?P<i>\d)\.up_(?P<n>\d)\.weight', _less('neck.dla_up.{i}.up.{n}.weight')),
    (
        r'dla_up\.ida_(?P<i>\d)\.(?P<part>proj|node)_(?P<n>\d)\.0\.weight',
        _less('neck.dla_up.{i}.{part}.{n}.conv.weight'),
    ),
    (
        r'dla_up\.ida_(?P<i>\d)\.(?P<part>proj|node)_(?P<n>\d)\.1\.(?P<leaf>\w+)',
        _less('neck.dla_up.{i}.{part}.{n}.bn.{leaf}'),
    ),
)
RESNET_BACKBONE: tuple[Rule, ...] = (
    (r'fc\..*', None),  # the classifier
    (r'((?:conv1|bn1|layer[1-4])\..*)', r'backbone.\1'),
)
# deconv_layers counts convolution, norm and ReLU each; ConvModule holds the three together
DEFORMABLE_NECK: tuple[Rule, ...] = (
    (
        r'deconv_layers\.(?P<n>0|6|12)\.conv_offset_mask\.(?P<leaf>\w+)',
        _every(3, 'neck.deconv_layers.{n}.conv.conv_offset.{leaf}'),
    ),
    (
        r'deconv_layers\.(?P<n>0|3|6|9|12|15)\.(?P<leaf>weight|bias)',
        _every(3, 'neck.deconv_layers.{n}.conv.{leaf}'),
    ),
    (r'deconv_layers\.(?P<n>1|4|7|10|13|16)\.(?P<leaf>\w+)', _every(3, 'neck.deconv_layers.{n}.bn.{leaf}')),
)
PLAIN_NECK: tuple[Rule, ...] = (
    (r'deconv_layers\.(?P<n>0|3|6)\.weight', _every(3, 'neck.deconv_layers.{n}.conv.weight')),
    (r'deconv_layers\.(?P<n>1|4|7)\.(?P<leaf>\w+)', _every(3, 'neck.deconv_layers.{n}.bn.{leaf}')),
)

# ---- Hourglass, of princeton-vl/CornerNet and in CenterNet ----

HOURGLASS: tuple[Rule, ...] = (
    (r'pre\.0\.(conv|bn)\.(\w+)', r'backbone.stem.0.\1.\2'),
    (r'pre\.1\.skip\.([01])\.(\w+)', r'backbone.stem.1.0.downsample.\1.\2'),
    (r'pre\.1\.((?:conv|bn)[12])\.(\w+)', r'backbone.stem.1.0.\1.\2'),
    (r'kps\.(\d)\.(.*)\.skip\.([01])\.(\w+)', r'backbone.hourglass_modules.\1.\2.downsample.\3.\4'),
    (r'kps\.(\d)\.(.*)\.((?:conv|bn)[12])\.(\w+)', r'backbone.hourglass_modules.\1.\2.\3.\4'),
    (r'cnvs\.(\d)\.(conv|bn)\.(\w+)', r'backbone.out_convs.\1.\2.\3'),
    (r'inters\.(\d)\.((?:conv|bn)[12])\.(\w+)', r'backbone.inters.\1.\2.\3'),
    (r'inters_\.(\d)\.0\.weight', r'backbone.conv1x1s.\1.conv.weight'),
    (r'inters_\.(\d)\.1\.(\w+)', r'backbone.conv1x1s.\1.bn.\2'),
    (r'cnvs_\.(\d)\.0\.weight', r'backbone.remap_convs.\1.conv.weight'),
    (r'cnvs_\.(\d)\.1\.(\w+)', r'backbone.remap_convs.\1.bn.\2'),
)
# per output and stack a convolution with ReLU (.0.conv) and the last one (.1)
HOURGLASS_CENTERNET_HEAD: tuple[Rule, ...] = tuple(
    rule
    for theirs, ours in CENTERNET_OUTPUTS.items()
    for rule in (
        (rf'{theirs}\.(\d)\.0\.conv\.(\w+)', rf'bbox_head.{ours}.\1.0.\2'),
        (rf'{theirs}\.(\d)\.1\.(\w+)', rf'bbox_head.{ours}.\1.2.\2'),
    )
)
CORNER_OUTPUTS = {'heats': 'heat', 'tags': 'emb', 'regrs': 'off'}
CORNER_HEAD: tuple[Rule, ...] = (
    (r'(tl|br)_cnvs\.(\d)\.p([12])_conv1\.(conv|bn)\.(\w+)', r'bbox_head.\1_pool.\2.direction\3_conv.\4.\5'),
    (r'(tl|br)_cnvs\.(\d)\.p_(conv|bn)1\.(\w+)', r'bbox_head.\1_pool.\2.aftpool_conv.\3.\4'),
    (r'(tl|br)_cnvs\.(\d)\.(conv|bn)1\.(\w+)', r'bbox_head.\1_pool.\2.conv1.\3.\4'),
    (r'(tl|br)_cnvs\.(\d)\.conv2\.(conv|bn)\.(\w+)', r'bbox_head.\1_pool.\2.conv2.\3.\4'),
    *(
        rule
        for theirs, ours in CORNER_OUTPUTS.items()
        for rule in (
            (rf'(tl|br)_{theirs}\.(\d)\.0\.conv\.(\w+)', rf'bbox_head.\1_{ours}.\2.0.conv.\3'),
            (rf'(tl|br)_{theirs}\.(\d)\.1\.(\w+)', rf'bbox_head.\1_{ours}.\2.1.conv.\3'),
        )
    ),
)

# ---- Megvii-BaseDetection/AutoAssign, written with cvpods ----

CVPODS: tuple[Rule, ...] = (  # res2 is layer1, fpn_lateral3 is lateral_convs.0, a tower counts as above
    (r'pixel_(?:mean|std)', None),  # the config's data_preprocessor has them
    (r'backbone\.bottom_up\.stem\.conv1\.weight', 'backbone.conv1.weight'),
    (r'backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)', r'backbone.bn1.\1'),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.shortcut\.weight',
        _less('backbone.layer{n}.{i}.downsample.0.weight'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.shortcut\.norm\.(?P<leaf>\w+)',
        _less('backbone.layer{n}.{i}.downsample.1.{leaf}'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.conv(?P<j>[123])\.weight',
        _less('backbone.layer{n}.{i}.conv{j}.weight'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.conv(?P<j>[123])\.norm\.(?P<leaf>\w+)',
        _less('backbone.layer{n}.{i}.bn{j}.{leaf}'),
    ),
    (r'backbone\.fpn_lateral(?P<n>[345])\.(?P<leaf>\w+)', _less('neck.lateral_convs.{n}.conv.{leaf}', 3)),
    (r'backbone\.fpn_output(?P<n>[345])\.(?P<leaf>\w+)', _less('neck.fpn_convs.{n}.conv.{leaf}', 3)),
    (r'backbone\.top_block\.p(?P<n>[67])\.(?P<leaf>\w+)', _less('neck.fpn_convs.{n}.conv.{leaf}', 3)),
    *(
        rule
        for theirs, ours in {'cls_subnet': 'cls_convs', 'bbox_subnet': 'reg_convs'}.items()
        for rule in (
            (rf'head\.{theirs}\.(?P<n>0|3|6|9)\.(?P<leaf>\w+)', _every(3, f'bbox_head.{ours}.{{n}}.conv.{{leaf}}')),
            (rf'head\.{theirs}\.(?P<n>1|4|7|10)\.(?P<leaf>\w+)', _every(3, f'bbox_head.{ours}.{{n}}.gn.{{leaf}}')),
        )
    ),
    (r'head\.cls_score\.(\w+)', r'bbox_head.conv_cls.\1'),
    (r'head\.bbox_pred\.(\w+)', r'bbox_head.conv_reg.\1'),
    (r'head\.obj_score\.(\w+)', r'bbox_head.conv_centerness.\1'),
    (r'head\.scales\.(\d)\.scale', r'bbox_head.scales.\1.scale'),
    ('mu', 'bbox_head.center_prior.mean'),
    ('sigma', 'bbox_head.center_prior.sigma'),
)

# ---- mmdet 2.x and 3.x: the names are ours ----

MMDET: tuple[Rule, ...] = (
    (r'ema_.*', None),  # mmdet 2.x: the running averages beside the weights
    (r'data_preprocessor\..*', None),
    # deformable convolutions before mmcv 1.0: conv_offset stood beside the convolution, not in it
    (r'((?:backbone|neck)\..*\.conv\d?\.conv_offset\..*)', r'\1'),
    (r'((?:backbone|neck)\..*\.conv\d?)_offset\.(weight|bias)', r'\1.conv_offset.\2'),
    (r'((?:backbone|neck|bbox_head)\..*)', r'\1'),
)

SOURCES = (
    Source(
        'xingyizhou/CenterNet, dla (deformable)', (r'base\.base_layer\..*', r'ida_up\..*', r'hm\..*'),
        DLA_BACKBONE + DEFORMABLE_LAYERS + CENTERNET_HEAD, folds_biases=True,
    ),
    Source(
        'xingyizhou/CenterNet, dlav0 (plain)', (r'base\.base_layer\..*', r'dla_up\..*\.node_1\.0\..*', r'hm\..*'),
        DLA_BACKBONE + PLAIN_LAYERS + CENTERNET_HEAD,
    ),
    Source(
        'xingyizhou/CenterNet, resdcn', (r'deconv_layers\.0\.conv_offset_mask\..*', r'hm\..*'),
        RESNET_BACKBONE + DEFORMABLE_NECK + CENTERNET_HEAD, folds_biases=True,
    ),
    Source(
        'xingyizhou/CenterNet, res', (r'deconv_layers\.0\.weight', r'hm\..*'),
        RESNET_BACKBONE + PLAIN_NECK + CENTERNET_HEAD,
    ),
    Source('xingyizhou/CenterNet, hourglass', (r'kps\..*', r'hm\..*'), HOURGLASS + HOURGLASS_CENTERNET_HEAD),
    Source('princeton-vl/CornerNet', (r'kps\..*', r'tl_heats\..*'), HOURGLASS + CORNER_HEAD),
    Source('Megvii-BaseDetection/AutoAssign (cvpods)', (r'head\.cls_subnet\..*', 'mu', 'sigma'), CVPODS),
    Source('mmdet', (r'backbone\..*', r'bbox_head\..*'), MMDET),
)  # fmt: skip
