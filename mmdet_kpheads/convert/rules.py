"""Rules that rename the parameters of other repositories: one list per model, applied from top to bottom.

A rule is a pattern that must match the whole name, and the new name. None leaves the tensor out.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

Rename = str | Callable[[re.Match], str] | None
Rule = tuple[str, Rename]


class Source(NamedTuple):
    """One model of another repository.

    Attributes:
        name: Name in reports.
        marks: Patterns that identify the source: each must match some name of the checkpoint.
        rules: Renaming rules.
        folds_biases: Its convolutions have a bias in front of a batch norm; ours have none.
        square: Names of convolutions that have as many input as output channels, which also identifies the source.
    """

    name: str
    marks: tuple[str, ...]
    rules: tuple[Rule, ...]
    folds_biases: bool = False
    square: tuple[str, ...] = ()


def _shifted(template: str, first: int = 1) -> Callable[[re.Match], str]:
    """Fill a template with the groups of a match, with ``first`` subtracted from group ``n``."""
    return lambda match: template.format(**{**match.groupdict(), 'n': int(match['n']) - first})


def _by_layer(template: str) -> Callable[[re.Match], str]:
    """Fill a template with the groups of a match; group ``n`` counts convolution, norm and ReLU, ours the layers."""
    return lambda match: template.format(**{**match.groupdict(), 'n': int(match['n']) // 3})


# ---- xingyizhou/CenterNet ----

CENTERNET_OUTPUTS = {'hm': 'heatmap_head', 'wh': 'wh_head', 'reg': 'offset_head'}
CENTERNET_HEAD: tuple[Rule, ...] = tuple(
    (rf'{theirs}\.([02])\.(weight|bias)', rf'bbox_head.{ours}.\1.\2') for theirs, ours in CENTERNET_OUTPUTS.items()
)
DLA_BACKBONE: tuple[Rule, ...] = (
    (r'base\.fc\..*', None),  # the classifier
    (r'base\.level[34]\.project\..*', None),  # computed in their forward but never used
    (r'base\.(.*)', r'backbone.\1'),
)
DEFORMABLE_LAYERS: tuple[Rule, ...] = tuple(
    rule
    for stage, ours in ((r'dla_up\.ida_(?P<i>\d)', 'neck.dla_up.{i}'), ('ida_up', 'neck.ida_up'))
    for rule in (
        (rf'{stage}\.up_(?P<n>\d)\.weight', _shifted(f'{ours}.up.{{n}}.weight')),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.conv\.conv_offset_mask\.(?P<leaf>\w+)',
            _shifted(f'{ours}.{{part}}.{{n}}.conv.conv_offset.{{leaf}}'),
        ),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.conv\.(?P<leaf>weight|bias)',
            _shifted(f'{ours}.{{part}}.{{n}}.conv.{{leaf}}'),
        ),
        (
            rf'{stage}\.(?P<part>proj|node)_(?P<n>\d)\.actf\.0\.(?P<leaf>\w+)',
            _shifted(f'{ours}.{{part}}.{{n}}.bn.{{leaf}}'),
        ),
    )
)
PLAIN_LAYERS: tuple[Rule, ...] = (
    (r'dla_up\.ida_(?P<i>\d)\.up_(?P<n>\d)\.weight', _shifted('neck.dla_up.{i}.up.{n}.weight')),
    (
        r'dla_up\.ida_(?P<i>\d)\.(?P<part>proj|node)_(?P<n>\d)\.0\.weight',
        _shifted('neck.dla_up.{i}.{part}.{n}.conv.weight'),
    ),
    (
        r'dla_up\.ida_(?P<i>\d)\.(?P<part>proj|node)_(?P<n>\d)\.1\.(?P<leaf>\w+)',
        _shifted('neck.dla_up.{i}.{part}.{n}.bn.{leaf}'),
    ),
)
RESNET_BACKBONE: tuple[Rule, ...] = (
    (r'fc\..*', None),  # the classifier
    (r'((?:conv1|bn1|layer[1-4])\..*)', r'backbone.\1'),
)
DEFORMABLE_NECK: tuple[Rule, ...] = (
    (
        r'deconv_layers\.(?P<n>0|6|12)\.conv_offset_mask\.(?P<leaf>\w+)',
        _by_layer('neck.deconv_layers.{n}.conv.conv_offset.{leaf}'),
    ),
    (
        r'deconv_layers\.(?P<n>0|3|6|9|12|15)\.(?P<leaf>weight|bias)',
        _by_layer('neck.deconv_layers.{n}.conv.{leaf}'),
    ),
    (r'deconv_layers\.(?P<n>1|4|7|10|13|16)\.(?P<leaf>\w+)', _by_layer('neck.deconv_layers.{n}.bn.{leaf}')),
)
PLAIN_NECK: tuple[Rule, ...] = (
    (r'deconv_layers\.(?P<n>0|3|6)\.weight', _by_layer('neck.deconv_layers.{n}.conv.weight')),
    (r'deconv_layers\.(?P<n>1|4|7)\.(?P<leaf>\w+)', _by_layer('neck.deconv_layers.{n}.bn.{leaf}')),
)

# ---- Hourglass, in princeton-vl/CornerNet and CenterNet ----

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
# each output has, per stack, a convolution with ReLU (.0.conv) and the last convolution (.1)
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

# ---- Megvii-BaseDetection/AutoAssign, based on cvpods ----

CVPODS: tuple[Rule, ...] = (  # res2 is layer1, fpn_lateral3 is lateral_convs.0
    (r'pixel_(?:mean|std)', None),  # in the config's data_preprocessor
    (r'backbone\.bottom_up\.stem\.conv1\.weight', 'backbone.conv1.weight'),
    (r'backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)', r'backbone.bn1.\1'),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.shortcut\.weight',
        _shifted('backbone.layer{n}.{i}.downsample.0.weight'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.shortcut\.norm\.(?P<leaf>\w+)',
        _shifted('backbone.layer{n}.{i}.downsample.1.{leaf}'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.conv(?P<j>[123])\.weight',
        _shifted('backbone.layer{n}.{i}.conv{j}.weight'),
    ),
    (
        r'backbone\.bottom_up\.res(?P<n>[2-5])\.(?P<i>\d+)\.conv(?P<j>[123])\.norm\.(?P<leaf>\w+)',
        _shifted('backbone.layer{n}.{i}.bn{j}.{leaf}'),
    ),
    (r'backbone\.fpn_lateral(?P<n>[345])\.(?P<leaf>\w+)', _shifted('neck.lateral_convs.{n}.conv.{leaf}', 3)),
    (r'backbone\.fpn_output(?P<n>[345])\.(?P<leaf>\w+)', _shifted('neck.fpn_convs.{n}.conv.{leaf}', 3)),
    (r'backbone\.top_block\.p(?P<n>[67])\.(?P<leaf>\w+)', _shifted('neck.fpn_convs.{n}.conv.{leaf}', 3)),
    *(
        rule
        for theirs, ours in {'cls_subnet': 'cls_convs', 'bbox_subnet': 'reg_convs'}.items()
        for rule in (
            (rf'head\.{theirs}\.(?P<n>0|3|6|9)\.(?P<leaf>\w+)', _by_layer(f'bbox_head.{ours}.{{n}}.conv.{{leaf}}')),
            (rf'head\.{theirs}\.(?P<n>1|4|7|10)\.(?P<leaf>\w+)', _by_layer(f'bbox_head.{ours}.{{n}}.gn.{{leaf}}')),
        )
    ),
    (r'head\.cls_score\.(\w+)', r'bbox_head.conv_cls.\1'),
    (r'head\.bbox_pred\.(\w+)', r'bbox_head.conv_reg.\1'),
    (r'head\.obj_score\.(\w+)', r'bbox_head.conv_centerness.\1'),
    (r'head\.scales\.(\d)\.scale', r'bbox_head.scales.\1.scale'),
    ('mu', 'bbox_head.center_prior.mean'),
    ('sigma', 'bbox_head.center_prior.sigma'),
)

# ---- mmdet 2.x and 3.x, whose names are the same as ours ----

MMDET: tuple[Rule, ...] = (
    (r'ema_.*', None),  # EMA weights of mmdet 2.x
    (r'data_preprocessor\..*', None),
    # before mmcv 1.0, conv_offset was a sibling of the deformable convolution, not a child
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
    Source(
        'Megvii-BaseDetection/cvpods, AutoAssign since February 2021 (P6 from P5: the config needs '
        'model.neck.add_extra_convs=on_output)', (r'head\.cls_subnet\..*', 'mu', 'sigma'),
        CVPODS, square=('backbone.top_block.p6.weight',),
    ),
    Source('Megvii-BaseDetection/AutoAssign (cvpods)', (r'head\.cls_subnet\..*', 'mu', 'sigma'), CVPODS),
    Source('mmdet', (r'backbone\..*', r'bbox_head\..*'), MMDET),
)  # fmt: skip
