"""What a config's test pipeline does to an image, as metadata that a runtime without mmdet follows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmdet.models import DetDataPreprocessor

from ..errors import InputError
from ..structures.geometry import Size

COARSEST_STRIDE = 32  # of the backbones, in pixels per cell; inputs of its multiples have maps without a remainder
IGNORED = {'LoadAnnotations', 'PackDetInputs'}


def input_rule(
    pipeline: Sequence[Mapping[str, Any]], preprocessor: DetDataPreprocessor, size: Size | None, dynamic: bool
) -> dict[str, Any]:
    """How an image becomes the network input.

    Args:
        pipeline: The test pipeline of a config.
        preprocessor: The model's.
        size: Height and width of the input in pixels, with ``dynamic`` the largest; None for those of the pipeline.
        dynamic: Whether the input takes several sizes.

    Returns:
        Keys of the metadata; docs/export.md lists them.

    Raises:
        InputError: If the pipeline has a transform that the runtime does not know, or no size.
    """
    rule: dict[str, Any] = {
        'channels': 'rgb' if preprocessor._channel_conversion else 'bgr',
        'resize_in_float': False,
        'scale': None,
        'keep_ratio': True,
        'place': 'top_left',
        'pad_value': list(_padding(preprocessor)),
        'multiple': math.lcm(COARSEST_STRIDE, preprocessor.pad_size_divisor),
        'always_pad': 0,
        'dynamic': dynamic,
    }
    for transform in pipeline:
        _apply(transform, rule)
    rule['size'] = list(size or _size_of(rule))
    divisor = rule['multiple'] if dynamic else preprocessor.pad_size_divisor
    if any(side < 1 or side % divisor for side in rule['size']):
        raise InputError(f'--size must be positive multiples of {divisor}, but is {rule["size"]}')
    return rule


def _padding(preprocessor: DetDataPreprocessor) -> Iterator[float]:
    """What mmdet pads with after the normalization, as a value before it, per channel of the network input."""
    for channel in range(3):
        if preprocessor._enable_normalize:
            mean, std = preprocessor.mean.flatten(), preprocessor.std.flatten()
            yield float(preprocessor.pad_value * std[channel] + mean[channel])
        else:
            yield float(preprocessor.pad_value)


def _apply(transform: Mapping[str, Any], rule: dict[str, Any]) -> None:
    """Write what a transform does into the rule."""
    kind = transform['type'] if isinstance(transform['type'], str) else transform['type'].__name__
    kind = kind.rpartition('.')[2]
    if kind == 'LoadImageFromFile' and transform.get('color_type', 'color') == 'color':
        rule['resize_in_float'] = transform.get('to_float32', False)
    elif kind == 'Resize' and isinstance(transform.get('scale'), Sequence):
        rule.update(scale=list(transform['scale']), keep_ratio=transform.get('keep_ratio', False))
    elif kind == 'RandomCenterCropPad' and transform.get('test_mode'):
        rule.update(place='center', **_center_padding(transform, rule))
    elif kind not in IGNORED:
        raise InputError(
            f'the test pipeline has {dict(transform)}, which export does not know; it knows LoadImageFromFile in '
            'color, Resize with a scale, and RandomCenterCropPad with test_mode'
        )


def _center_padding(transform: Mapping[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    """The part of the rule for an image on the center of a canvas."""
    canvas = list(transform['mean'])
    if transform['to_rgb'] != (rule['channels'] == 'rgb'):
        canvas.reverse()
    mode, number = transform['test_pad_mode']
    always_pad = int(mode == 'logical_or')
    divisor = number + 1 if always_pad else number
    if rule['dynamic'] and always_pad and not transform.get('test_pad_add_pix', 0):
        raise InputError(
            f'the test pipeline pads to sizes that {divisor} does not divide (logical_or without test_pad_add_pix): '
            'export one --size without --dynamic'
        )
    return {'pad_value': canvas, 'multiple': math.lcm(rule['multiple'], divisor), 'always_pad': always_pad}


def _size_of(rule: Mapping[str, Any]) -> Size:
    """The size that holds a resized landscape image; with several sizes also a portrait one."""
    if not rule['scale']:
        raise InputError('the test pipeline keeps the size of each image: say one with --size HEIGHT WIDTH')
    width, height = rule['scale']
    if rule['keep_ratio']:
        width, height = max(rule['scale']), min(rule['scale'])
        if rule['dynamic']:
            height = width
    multiple = rule['multiple']
    return math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple
